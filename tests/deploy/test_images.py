"""The image and the compose file, run for real: with DEDUP_TEST_IMAGES=1, on a machine with Docker.

Where no image can be pulled, bases are made from Debian's packages (deploy/image/make-base.sh) and
Kafka and Prometheus are stood in for; the image of the job and the compose file are the same.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.deploy import images
from tests.deploy.images import run

WANTED: Final = "DEDUP_TEST_IMAGES"
pytestmark = pytest.mark.skipif(
    os.environ.get(WANTED) != "1", reason=f"builds images, for minutes: {WANTED}=1 runs it"
)
RECORDS: Final = 20_000
_SECONDS: Final = 180.0


class Stack:
    """The compose file's services, under a project name of this test's own."""

    def __init__(self) -> None:
        self._command = [*images.compose(), "-p", "dedup-test"]

    def __call__(self, *arguments: str) -> str:
        return run(*self._command, *arguments)

    def container(self, service: str) -> str:
        return self("ps", "-q", service).strip().splitlines()[-1]

    def state(self, service: str) -> dict[str, object]:
        [found] = json.loads(run("docker", "inspect", self.container(service)))
        state: dict[str, object] = found["State"]
        return state


def wait_until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not met():
        assert time.monotonic() < deadline, f"not within {_SECONDS:.0f} s: {what}"
        time.sleep(1.0)


def get(url: str) -> str:
    try:
        return requests.get(url, timeout=5).text
    except requests.ConnectionError:
        return ""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    python = images.python_image()
    images.build(python)
    images.have_kafka(tmp_path_factory.mktemp("kafka"))
    images.have_prometheus(tmp_path_factory.mktemp("prometheus"))
    found = Stack()
    found("down", "--volumes", "--remove-orphans")
    try:
        found("up", "-d", "kafka", "dedup-0", "dedup-1", "prometheus")
        yield found
        print(found("logs", "--tail", "30", "dedup-0", "dedup-1"))
    finally:
        found("down", "--volumes", "--remove-orphans")


def processed(port: int) -> float:
    lines = get(f"http://localhost:{port}/metrics").splitlines()
    counts = [line.split()[-1] for line in lines if line.startswith("dedup_events_processed_total")]
    return sum(map(float, counts))


def test_the_services_are_healthy_work_and_end_cleanly(stack: Stack) -> None:
    services = ("dedup-0", "dedup-1")

    def healthy() -> bool:
        states = [stack.state(service)["Health"] for service in services]
        return all(isinstance(one, dict) and one["Status"] == "healthy" for one in states)

    wait_until(healthy, "both processes healthy")
    stack("run", "--rm", "generate", "dedup", "generate", "--records", str(RECORDS))
    wait_until(lambda: processed(9400) + processed(9401) >= RECORDS, "every record answered")
    assert processed(9400) > 0
    assert processed(9401) > 0

    up = "http://localhost:9090/api/v1/query?query=sum(up)"
    wait_until(lambda: '"2"' in get(up), "Prometheus sees both")

    begun = time.monotonic()
    stack("stop", *services)
    assert time.monotonic() - begun < 14.0
    for service in services:
        assert stack.state(service)["ExitCode"] == 0, stack("logs", "--tail", "30", service)

    stack("start", *services)
    wait_until(healthy, "both healthy again")
    logs = stack("logs", *services)
    assert logs.count("made recovery partition") == 2
    stack("run", "--rm", "generate", "dedup", "audit")  # fails unless all is exactly once


def test_it_runs_as_nobody_in_particular_on_a_root_that_cannot_be_written(stack: Stack) -> None:
    container = stack.container("dedup-0")
    assert run("docker", "exec", container, "id", "-u").strip() == "65532"
    [found] = json.loads(run("docker", "inspect", container))
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["Config"]["User"] == "65532:65532"
    environ = {word.partition("=")[0] for word in found["Config"]["Env"]}
    assert {"BYTEWAX_RECOVERY_DIRECTORY", "DEDUP_BROKERS"} <= environ


def test_a_broker_in_a_container_serves_the_other_tests(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.kafka import QUICK_RESTART, start_broker  # noqa: PLC0415 - testcontainers looks at the environment

    monkeypatch.delenv("DEDUP_TEST_BROKERS", raising=False)
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    with start_broker(own=True, settings=QUICK_RESTART) as broker:
        assert broker.kind == "docker"
        broker.kill()
        broker.restart()


def test_the_script_made_a_base_only_where_none_could_be_pulled() -> None:
    made = images.is_there("dedup-base")
    assert made != images.is_there(images.PYTHON)
    assert Path(images.IMAGE / "make-base.sh").stat().st_mode & 0o111
