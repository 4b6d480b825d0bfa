"""The compose file agrees with itself, with Prometheus' configuration and with the settings."""

from typing import Any, Final

import yaml

from flows.launch import read_launch
from flows.settings import load_settings
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
    for name in (*PROCESSES, "generate"):
        assert f"COMPOSE://{SERVICES[name]['environment']['DEDUP_BROKERS']}" in advertised
        assert SERVICES[name]["depends_on"]["kafka"]["condition"] == "service_healthy"


def test_volumes_and_files_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
