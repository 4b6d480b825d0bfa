"""What probes report, and from when on."""

from collections.abc import Iterator

import pytest

from connectors.kafka.access import KafkaAccess
from connectors.shutdown import started
from flows.process import health
from flows.process.health import LIVE_SECONDS, RESTORE_SECONDS, BrokerCheck, Health
from operators.monitoring.liveness import Liveness
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def met() -> Iterator[None]:
    """The processes of the cluster have met; a test may undo it."""
    started.set()
    yield
    started.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observer(clock: Clock) -> Observer:
    observer = Observer(Metrics())
    observer.liveness = Liveness(clock)
    return observer


def on_kafka(observer: Observer, problem: str | None = None) -> Health:
    return Health(observer, lanes=(0, 2), brokers=lambda: problem)


def test_a_process_that_has_nothing_to_do_lives(observer: Observer, clock: Clock) -> None:
    clock.now = 1e6
    assert on_kafka(observer).not_alive() == []


def test_a_process_that_stands_still_does_not_live(observer: Observer, clock: Clock) -> None:
    observer.liveness.source_opened()
    observer.liveness.epoch_ended()
    clock.now = LIVE_SECONDS - 1
    assert on_kafka(observer).not_alive() == []
    clock.now = LIVE_SECONDS
    assert on_kafka(observer).not_alive() == ["nothing was read, decided or written for 120 s"]
    assert on_kafka(observer).not_ready()[0] == on_kafka(observer).not_alive()[0]


def test_until_the_first_snapshot_lanes_may_take_long_to_restore(
    observer: Observer, clock: Clock
) -> None:
    observer.liveness.lane_opened()
    clock.now = RESTORE_SECONDS - 1
    assert on_kafka(observer).not_alive() == []
    clock.now = RESTORE_SECONDS
    assert on_kafka(observer).not_alive() != []


def test_embedded_lanes_may_be_silent_while_there_is_no_input(
    observer: Observer, clock: Clock
) -> None:
    observer.liveness.lane_opened()
    clock.now = 1e6
    assert Health(observer).not_alive() == []


def test_ready_is_met_restored_and_answered(observer: Observer) -> None:
    assert on_kafka(observer).not_ready() == ["lanes that are not restored: 0, 2"]
    observer.restored_keys.update({0: 5, 2: 0})
    assert on_kafka(observer).not_ready() == []
    assert on_kafka(observer, "gone").not_ready() == ["the brokers do not answer: gone"]
    started.clear()
    assert on_kafka(observer).not_ready() == [
        "waiting for the other processes of the cluster, or for the brokers"
    ]


def test_stages(observer: Observer) -> None:
    started.clear()
    stages = [on_kafka(observer).stage]
    started.set()
    stages.append(on_kafka(observer).stage)
    observer.liveness.epoch_ended()
    stages.append(on_kafka(observer).stage)
    assert stages == ["waiting", "starting", "running"]


def test_missing_brokers_are_not_asked_at_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_REQUEST_SECONDS", 0.2)
    check = BrokerCheck(KafkaAccess("127.0.0.1:1", "app", {"log_level": 0}), "raw")
    problem = check()
    asked = check._asked

    assert problem is not None
    assert problem.startswith("127.0.0.1:1: ")
    assert check() == problem
    assert check._asked == asked
