"""Rule 5 of the protocol (connectors/exactly_once), kept and broken: where the source starts."""

import time
from collections.abc import Callable
from threading import Thread
from typing import cast

import pytest
from confluent_kafka.admin import AdminClient

from connectors.exactly_once import changelog_topic
from connectors.exactly_once.changelog import AnsweredInput, Changelog
from connectors.kafka import starting_offsets
from connectors.kafka.access import KafkaAccess
from operators.errors import StateError
from tests.integration import lane_harness
from tests.integration.lane_harness import LaneHarness, make_records

SECONDS = 30.0


class SlowAccess(KafkaAccess):
    """A client is slow to make, as on a busy machine."""

    def admin(self, role: str = "admin") -> AdminClient:
        admin = super().admin(role)
        time.sleep(0.05)
        return admin


def test_workers_that_ask_at_the_same_moment_all_get_an_answer(harness: LaneHarness) -> None:
    changelog = Changelog(
        SlowAccess(harness.topics.bootstrap, harness.topics.prefix), harness.lanes
    )
    answers: list[dict[int, int]] = []

    def ask() -> None:
        answers.append(changelog.last_offsets(range(harness.lanes)))

    workers = [Thread(target=ask, daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)

    assert answers == [dict.fromkeys(range(harness.lanes), 0)] * len(workers)


def test_no_client_asks_for_offsets_first(harness: LaneHarness) -> None:
    """Such a request is lost if it meets the client's first answer: one in ten here."""
    calls: list[list[str]] = []

    class RecordingAdmin:
        def __init__(self, admin: AdminClient) -> None:
            self._admin = admin
            self._calls: list[str] = []
            calls.append(self._calls)

        def __getattr__(self, name: str) -> object:
            self._calls.append(name)
            return getattr(self._admin, name)

    class RecordingAccess(KafkaAccess):
        def admin(self, role: str = "admin") -> AdminClient:
            return cast("AdminClient", RecordingAdmin(super().admin(role)))

    changelog = Changelog(
        RecordingAccess(harness.topics.bootstrap, harness.topics.prefix), harness.lanes
    )
    changelog.ensure(harness.topics.input)
    changelog.last_offsets(range(harness.lanes))
    changelog.trim(0, 0)

    assert {"list_offsets", "delete_records"} <= {name for names in calls for name in names}
    assert {names[0] for names in calls} == {"list_topics"}


# Rule 5: the source starts at or before the end of the lanes' answers, never after it.


def begin_at_latest(harness: LaneHarness) -> tuple[int, int]:
    """Start a new application at the end of its input, kill it, start it again with more input.

    Returns how many of the new records are lost and doubled.
    """
    harness.topics.produce(make_records(0, 10))
    died = harness.run()
    died.begin(harness.source("latest"))
    died.wait_until_opened()
    records = harness.topics.produce(make_records(10, 20))

    after = harness.run()
    after.begin(harness.source("latest"))
    after.read(20)
    after.snapshot()
    return harness.doubled(records)


def test_started_at_the_end_it_starts_there_again(harness: LaneHarness) -> None:
    assert begin_at_latest(harness) == (0, 0)


def test_broken_start_that_is_not_written(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_written(
        _: object, changelog: Changelog, starts: Callable[[], object], __: object
    ) -> list[AnsweredInput | None]:
        return changelog.answered() if any(changelog.answered()) else [answered(starts())] * 2

    def answered(starts: object) -> AnsweredInput:
        assert isinstance(starts, dict)
        return AnsweredInput({}, starts)

    monkeypatch.setattr(lane_harness, "begin_application", not_written)

    assert begin_at_latest(harness) == (10, 0)


def die_at_the_end_of_an_epoch(harness: LaneHarness, epoch: int) -> tuple[int, int]:
    """Die after the source has ended its epoch but no lane; go on without recovery directory."""
    run = harness.run()
    run.begin(harness.source())
    records = harness.topics.produce(make_records(0, 10))
    for number in range(1, epoch):
        run.read(10 * number)
        run.end_source_epoch()
        run.snapshot()
        records += harness.topics.produce(make_records(10 * number, 10 * number + 10))
    run.read(10 * epoch)
    run.end_source_epoch()

    after = harness.run()
    after.begin(harness.source())
    after.read(10 * epoch)
    after.snapshot()
    return harness.doubled(records)


@pytest.mark.parametrize("epoch", [1, 2])
def test_the_group_trails_the_lanes(harness: LaneHarness, epoch: int) -> None:
    assert die_at_the_end_of_an_epoch(harness, epoch) == (0, 0)


def test_broken_start_ahead_of_the_lane_that_is_behind(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lane has committed more than the other: what the other lacks must be read again."""
    records = harness.topics.produce(make_records(0, 10))
    run = harness.run()
    run.begin(harness.source())
    run.read(10)
    writer = run.parts[0]._writer
    assert writer is not None
    writer.wait()  # commits one lane only
    run.end()
    monkeypatch.setattr(starting_offsets, "min", max, raising=False)

    after = harness.run()
    after.begin(harness.source())
    records += harness.topics.produce(make_records(10, 20))
    with pytest.raises(StateError, match="records are missing between"):
        after.read(20)


def lose_the_changelog(harness: LaneHarness) -> tuple[int, int]:
    """Go on without recovery directory, without the changelog, but with the group's offsets."""
    records = harness.topics.produce(make_records(0, 10))
    run = harness.run()
    run.begin(harness.source())
    run.read(10)
    run.end_source_epoch()
    run.snapshot()
    records += harness.topics.produce(make_records(10, 20))
    run.read(20)
    run.end_source_epoch()
    run.snapshot()
    deadline = time.monotonic() + SECONDS
    while harness.topics.committed() != {0: 10}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    harness.topics.delete(harness.changelog.topic)
    harness.changelog.ensure(harness.topics.input)

    after = harness.run()
    after.begin(harness.source())
    after.read(20)
    after.snapshot()
    return harness.doubled(records)


def test_offsets_without_a_changelog_are_refused(harness: LaneHarness) -> None:
    with pytest.raises(StateError, match=r"its changelog .* is gone"):
        lose_the_changelog(harness)


def test_broken_application_without_changelog_taken_for_new(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changelog_topic, "_check_new_application", lambda *_: None)

    assert lose_the_changelog(harness) == (0, 20)
