"""The compose file agrees with itself, with Prometheus' configuration and with the settings."""

from typing import Any, Final

import pytest
import yaml
from confluent_kafka.admin import AdminClient

from deploy.kafka import Broker
from flows.cli import app
from flows.launch import read_launch
from flows.settings.load import load_settings
from tests.deploy.promql import PROMETHEUS
from tests.integration.job import ROOT

COMPOSE: Final = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
PROCESSES: Final = {name: one for name, one in SERVICES.items() if name.startswith("dedup-")}


def test_every_process_has_its_address_its_volume_and_its_port() -> None:
    targets = [
        target
        for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))[
            "scrape_configs"
        ]
        for config in job["static_configs"]
        for target in config["targets"]
    ]
    expected = []
    for number, (name, service) in enumerate(sorted(PROCESSES.items())):
        environment = service["environment"]
        settings = load_settings(
            {key: value for key, value in environment.items() if key.startswith("DEDUP_")}
        )
        launch = read_launch([], environment)
        port = (settings.metrics_port or 0) + number
        assert (launch.process, launch.processes) == (number, len(PROCESSES))
        assert environment["BYTEWAX_ADDRESSES"].split(";")[number].startswith(f"{name}:")
        assert service["volumes"] == [f"{name}:/data"]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert service["healthcheck"]["test"][-1] == f"http://localhost:{port}/readyz"
        assert service["read_only"]
        expected.append(f"{name}:{port}")

    assert targets == expected
    assert len(PROCESSES) <= settings.lanes


def test_the_brokers_are_where_the_job_looks_for_them() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for name in (*PROCESSES, "generate", "raw-events"):
        assert f"COMPOSE://{SERVICES[name]['environment']['DEDUP_BROKERS']}" in advertised
        assert SERVICES[name]["depends_on"]["kafka"]["condition"] == "service_healthy"


def test_the_input_topic_is_there_before_the_job_starts(
    broker: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = SERVICES["raw-events"]
    program, *words = service["command"]
    topic = words[words.index("--topic") + 1]
    for process in PROCESSES.values():
        assert process["depends_on"]["raw-events"]["condition"] == "service_completed_successfully"
        settings = {k: v for k, v in process["environment"].items() if k.startswith("DEDUP_")}
        assert load_settings(settings).input_topic == topic
    # It runs at each `up`, and a service that is started again never completes.
    assert "restart" not in service
    assert service["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert program == "dedup"

    monkeypatch.setenv("DEDUP_BROKERS", broker.bootstrap)
    named = f"{topic_prefix}-{topic}"
    words[words.index(topic)] = named
    assert app.main(words) == 0
    assert app.main(words) == 0
    listed = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=30).topics
    assert len(listed[named].partitions) == int(words[words.index("--partitions") + 1])


def test_volumes_and_files_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
