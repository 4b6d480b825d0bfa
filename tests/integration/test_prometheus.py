"""A real Prometheus scrapes a real run, with the rules and the dashboard that we ship."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import yaml

from deploy.kafka.ports import free_ports
from tests.deploy.promql import PROMETHEUS, alerts, dashboard_queries
from tests.integration.conftest import MakeTopics
from tests.integration.endpoints import Endpoints
from tests.integration.job import Job
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import stream

_SECONDS: Final = 30.0
# A rate in a query needs at least two scrapes in its range.
_SCRAPE: Final = "500ms"


@contextmanager
def prometheus(folder: Path, targets: list[str]) -> Iterator[str]:
    """Run Prometheus with our configuration but other targets; yield its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("install prometheus: a real one scrapes the job")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": _SCRAPE, "evaluation_interval": _SCRAPE}
    config["rule_files"] = [str(PROMETHEUS / "rules.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    [port] = free_ports(1)
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(_SECONDS)


def ask(address: str, path: str, **query: str) -> Any:  # noqa: ANN401 - any JSON
    """Ask Prometheus; wait while it starts."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            answer = requests.get(f"{address}/api/v1/{path}", params=query, timeout=10)
        except requests.ConnectionError:
            starting = True
        else:
            starting = answer.status_code == requests.codes.service_unavailable
        if not starting:
            assert answer.status_code == requests.codes.ok, answer.text
            return answer.json()["data"]
        assert time.monotonic() < deadline, f"no Prometheus at {address}"
        time.sleep(0.2)


def all_answered(address: str) -> bool:
    """Whether each query of the dashboard that concerns this run has a result."""
    unused = ("bloom", "evictions")
    queries = [query for query in dashboard_queries() if not any(name in query for name in unused)]
    return all(ask(address, "query", query=query)["result"] for query in queries)


def test_a_real_prometheus_reads_rules_metrics_and_dashboard(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(2)
    endpoints = Endpoints(processes=2)
    targets = [f"127.0.0.1:{endpoints.port + process}" for process in range(2)]
    settings = topics.settings | {
        "DEDUP_STOP_AT_END": "false",
        "DEDUP_METRICS_PORT": str(endpoints.port),
    }

    with (
        prometheus(tmp_path, targets) as address,
        PacedProducer(topics, stream(1_000_000, seed=5, partitions=2), 500),
        Job(settings, tmp_path, processes=2) as job,
    ):

        def value(query: str) -> float:
            result = ask(address, "query", query=query)["result"]
            return float(result[0]["value"][1]) if result else 0.0

        job.wait_until(lambda: value("sum(rate(dedup_events_processed_total[10s]))") > 0)
        job.wait_until(lambda: value('sum(up{job="dedup"})') == 2)

        groups = ask(address, "rules")["groups"]
        loaded = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in alerts()}
        assert not [rule["lastError"] for rule in loaded if rule.get("lastError")]
        job.wait_until(lambda: all_answered(address))
        firing = ask(address, "alerts")["alerts"]
        assert not [alert for alert in firing if alert["state"] == "firing"]
