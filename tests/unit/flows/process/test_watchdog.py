"""The watchdog: when it bites, and when it must not."""

import pytest

from flows.process.health import RESTORE_SECONDS, Health
from flows.process.watchdog import Watchdog
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer

LOOK = 5.0


@pytest.fixture
def observer() -> Observer:
    return Observer(Metrics())


def watchdog(
    observer: Observer, epoch_seconds: float = 10.0, *, embedded: bool = False
) -> Watchdog:
    health = Health(observer) if embedded else Health(observer, (0,), lambda: None)
    return Watchdog(health, epoch_seconds, LOOK)


def bites_after(dog: Watchdog, limit: float = 20_000) -> float | None:
    """Seconds of looks until something is wrong; None if nothing is, up to a limit."""
    for look in range(int(limit / LOOK)):
        if dog.look() is not None:
            return look * LOOK
    return None


def test_it_bites_after_five_minutes_without_a_sign_of_life(observer: Observer) -> None:
    observer.liveness.source_opened()
    observer.liveness.epoch_ended()
    assert bites_after(watchdog(observer)) == 300


def test_until_the_first_snapshot_lanes_may_be_restoring(observer: Observer) -> None:
    observer.liveness.lane_opened()
    assert bites_after(watchdog(observer)) == RESTORE_SECONDS


def test_any_sign_of_life_begins_anew(observer: Observer) -> None:
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
    looks = 0
    problem = None
    while problem is None:
        observer.liveness.note_activity()
        problem = dog.look()
        looks += 1
    assert (looks - 1) * LOOK == limit
    assert problem == f"no epoch has ended for {limit:.0f} s"


def test_a_process_with_nothing_to_do_is_left_alone(observer: Observer) -> None:
    assert bites_after(watchdog(observer)) is None
    observer.liveness.source_opened()
    observer.liveness.source_ended()
    assert bites_after(watchdog(observer)) is None


def test_embedded_lanes_are_left_alone_while_there_is_no_input(observer: Observer) -> None:
    observer.liveness.lane_opened()
    assert bites_after(watchdog(observer, embedded=True)) is None
