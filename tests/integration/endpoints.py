"""What the processes of a job answer on their ports."""

import socket
from dataclasses import dataclass
from typing import Any, Final

import requests
from prometheus_client.parser import text_string_to_metric_families

from deploy.kafka.ports import free_ports

_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Endpoints:
    """processes: of the cluster.  port: DEDUP_METRICS_PORT; without one it is free, and those
    of the other processes after it.
    """

    processes: int = 1
    port: int = 0

    def __post_init__(self) -> None:
        while not self.port or any(map(_in_use, range(self.port, self.port + self.processes))):
            object.__setattr__(self, "port", free_ports(1)[0])

    def get(self, path: str, process: int = 0) -> requests.Response:
        address = f"http://127.0.0.1:{self.port + process}{path}"
        return requests.get(address, timeout=_SECONDS)

    def status_of(self, path: str) -> list[int]:
        """Status of a path at each process, 0 for one that is not there."""
        found = []
        for process in range(self.processes):
            try:
                found.append(self.get(path, process).status_code)
            except requests.ConnectionError:
                found.append(0)
        return found

    @property
    def ready(self) -> bool:
        """Whether every process is."""
        return self.status_of("/readyz") == [200] * self.processes

    def samples(self, name: str) -> list[dict[str, float]]:
        """Samples of a metric at each process, by the value of their label, "" without."""
        return [
            {
                ",".join(sample.labels.values()): sample.value
                for family in text_string_to_metric_families(self.get("/metrics", process).text)
                for sample in family.samples
                if sample.name == name
            }
            for process in range(self.processes)
        ]

    def total(self, name: str) -> float:
        """Sum of a metric over its labels and the processes."""
        return sum(sum(found.values()) for found in self.samples(name))

    def report(self, process: int = 0, query: str = "") -> dict[str, Any]:
        """What `/status` says."""
        report: dict[str, Any] = self.get(f"/status{query}", process).json()
        return report


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
