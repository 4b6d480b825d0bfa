"""What a process answers on DEDUP_METRICS_PORT."""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import parse_qs

from flows.health import BrokerCheck, Health
from flows.launch import Launch
from flows.serving import Answer, Question, Route, health_route, metrics_route, serve
from flows.settings import Settings
from flows.status_report import StatusReport, to_json
from flows.wiring import kafka_access
from operators.lanes import lanes_on
from operators.observing import Observer

_PAGE = "status_page.html"


def health_of(settings: Settings, launch: Launch, observer: Observer) -> Health:
    """Make the health of a process, from what it was started with."""
    if settings.embedded:
        return Health(observer)
    first = launch.process * launch.workers_per_process
    mine = range(first, first + launch.workers_per_process)
    return Health(
        observer,
        lanes_on(settings.lanes, launch.workers, mine),
        BrokerCheck(kafka_access(settings), settings.input_topic),
    )


def serve_endpoints(settings: Settings, launch: Launch, observer: Observer) -> None:
    """Serve metrics, health and status.  Raises DedupError if the port cannot be had."""
    if settings.metrics_port is None:
        return
    health = health_of(settings, launch, observer)
    status = StatusReport(settings, launch, observer, health)
    serve(settings.metrics_port + launch.process, _routes(observer, health, status))
    status.start()


def _routes(observer: Observer, health: Health, status: StatusReport) -> dict[str, Route]:
    page = files("flows").joinpath(_PAGE).read_bytes()

    def report(question: Question) -> Answer:
        history = "history" in parse_qs(question.query, keep_blank_values=True)
        return Answer(to_json(status.report(history=history)), "application/json")

    return {
        "/": lambda _: Answer(page, "text/html; charset=utf-8"),
        "/status": report,
        "/metrics": metrics_route(observer.metrics.registry),
        "/livez": health_route(health.not_alive),
        "/readyz": health_route(health.not_ready),
    }
