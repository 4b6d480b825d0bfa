"""The paths that a process serves on DEDUP_METRICS_PORT."""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import parse_qs

from flows.launch import Launch
from flows.process.health import Health
from flows.settings.model import Settings
from flows.web.report import StatusReport, to_json
from flows.web.server import Request, Response, Route, health_route, metrics_route, serve

_PAGE = "status_page.html"


def serve_endpoints(settings: Settings, launch: Launch, health: Health) -> None:
    """Serve metrics, probes and status.  Raises DedupError if the port is not available."""
    if settings.metrics_port is None:
        return
    status = StatusReport(settings, launch, health)
    serve(settings.metrics_port + launch.process, _routes(health, status))
    status.start()


def _routes(health: Health, status: StatusReport) -> dict[str, Route]:
    page = files("flows.web").joinpath(_PAGE).read_bytes()

    def report(request: Request) -> Response:
        history = "history" in parse_qs(request.query, keep_blank_values=True)
        return Response(to_json(status.report(history=history)), "application/json")

    return {
        "/": lambda _: Response(page, "text/html; charset=utf-8"),
        "/status": report,
        "/metrics": metrics_route(health.observer.metrics.registry),
        "/livez": health_route(health.not_alive),
        "/readyz": health_route(health.not_ready),
    }
