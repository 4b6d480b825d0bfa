"""When the watchdog ends a process, and when it must not."""

import pytest

from flows.process.health import RESTORE_SECONDS, Health
from flows.process.watchdog import Watchdog
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer

CHECK_SECONDS = 5.0


@pytest.fixture
def observer() -> Observer:
    return Observer(Metrics())


def watchdog(
    observer: Observer, epoch_seconds: float = 10.0, *, embedded: bool = False
) -> Watchdog:
    health = Health(observer) if embedded else Health(observer, (0,), lambda: None)
    return Watchdog(health, epoch_seconds, CHECK_SECONDS)


def bites_after(dog: Watchdog, limit: float = 20_000) -> float | None:
    """Seconds of checks until the watchdog bites; None if it does not within a limit."""
    for checks in range(int(limit / CHECK_SECONDS)):
        if dog.check() is not None:
            return checks * CHECK_SECONDS
    return None


def test_it_bites_after_five_minutes_without_activity(observer: Observer) -> None:
    observer.liveness.source_opened()
    observer.liveness.epoch_ended()
    assert bites_after(watchdog(observer)) == 300


def test_until_the_first_snapshot_lanes_may_be_restoring(observer: Observer) -> None:
    observer.liveness.lane_opened()
    assert bites_after(watchdog(observer)) == RESTORE_SECONDS


def test_any_activity_restarts_the_count(observer: Observer) -> None:
    observer.liveness.source_opened()
    observer.liveness.epoch_ended()
    dog = watchdog(observer)
    assert bites_after(dog, 290) is None
    observer.liveness.note_activity()
    assert bites_after(dog) == 300


@pytest.mark.parametrize("epoch_seconds, limit", [(1.0, 900), (600.0, 6000)])
def test_it_bites_when_epochs_do_not_end_though_records_are_asked_for(
    observer: Observer, epoch_seconds: float, limit: float
) -> None:
    observer.liveness.source_opened()
    observer.liveness.epoch_ended()
    dog = watchdog(observer, epoch_seconds)
    checks = 0
    problem = None
    while problem is None:
        observer.liveness.note_activity()
        problem = dog.check()
        checks += 1
    assert (checks - 1) * CHECK_SECONDS == limit
    assert problem == f"no epoch has ended for {limit:.0f} s"


def test_a_process_with_nothing_to_do_is_left_alone(observer: Observer) -> None:
    assert bites_after(watchdog(observer)) is None
    observer.liveness.source_opened()
    observer.liveness.source_ended()
    assert bites_after(watchdog(observer)) is None


def test_embedded_lanes_are_left_alone_while_there_is_no_input(observer: Observer) -> None:
    observer.liveness.lane_opened()
    assert bites_after(watchdog(observer, embedded=True)) is None
