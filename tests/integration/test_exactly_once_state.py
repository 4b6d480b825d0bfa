"""Rules 5 to 7 of the protocol (docs/adr/0002), and what a snapshot holds: kept and broken."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import cast

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from connectors.exactly_once import changelog_topic, lane_opener, lane_writer
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import pack
from connectors.kafka import source
from connectors.kafka.access import KafkaAccess
from connectors.kafka.source import _KafkaSourcePartition
from operators import deduplicate
from operators.changes import LaneChange
from operators.errors import DedupError, StateError
from operators.lanes.lane import Lane
from operators.lanes.snapshot import LaneSnapshot
from operators.windows.tumbling import TumblingStore
from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import WINDOW_SECONDS, LaneHarness, make_records, repeats
from tests.model import Settings

SECONDS = 30.0


class SlowAccess(KafkaAccess):
    """A client takes its time to be made, as on a busy machine."""

    def admin(self) -> AdminClient:
        admin = super().admin()
        time.sleep(0.05)
        return admin


def test_workers_that_ask_at_the_same_moment_are_all_answered(harness: LaneHarness) -> None:
    changelog = Changelog(
        SlowAccess(harness.topics.bootstrap, harness.topics.prefix), harness.lanes
    )
    found: list[dict[int, int]] = []

    def ask() -> None:
        found.append(changelog.last_offsets(range(harness.lanes)))

    workers = [Thread(target=ask, daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)

    assert found == [dict.fromkeys(range(harness.lanes), 0)] * len(workers)


def test_no_client_asks_for_offsets_first(harness: LaneHarness) -> None:
    """Such a question is lost where it meets the client's first answer: here one in ten."""
    asked: list[list[str]] = []

    class Overheard:
        def __init__(self, admin: AdminClient) -> None:
            self._admin = admin
            self._asked: list[str] = []
            asked.append(self._asked)

        def __getattr__(self, name: str) -> object:
            self._asked.append(name)
            return getattr(self._admin, name)

    class OverheardAccess(KafkaAccess):
        def admin(self) -> AdminClient:
            return cast("AdminClient", Overheard(super().admin()))

    changelog = Changelog(
        OverheardAccess(harness.topics.bootstrap, harness.topics.prefix), harness.lanes
    )
    changelog.ensure(harness.topics.input)
    changelog.last_offsets(range(harness.lanes))
    changelog.trim(0, 0)

    assert {"list_offsets", "delete_records"} <= {name for names in asked for name in names}
    assert {names[0] for names in asked} == {"list_topics"}


# Rule 5: the source begins at or before what the lanes have answered, never behind it.


def begin_at_latest(harness: LaneHarness) -> tuple[int, int]:
    """Begin a new application at the end of its input, die, and begin it again when there is more.

    Returns how many of the records since then are lost and doubled.
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


def test_begun_at_the_end_it_begins_there_again(harness: LaneHarness) -> None:
    assert begin_at_latest(harness) == (0, 0)


def test_broken_beginning_that_is_not_committed(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Uncommitting(Consumer):
        def commit(self, *_: object, **__: object) -> None:  # type: ignore[override]
            pass

    monkeypatch.setattr(source, "Consumer", Uncommitting)

    assert begin_at_latest(harness) == (10, 0)


def die_at_the_end_of_an_epoch(harness: LaneHarness, epoch: int) -> tuple[int, int]:
    """Die when the source has ended its epoch but no lane has; go on without recovery directory."""
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


def commit_at_once(source: _KafkaSourcePartition) -> int:
    source._commit(source._next, wait=True)
    return source._next


def test_broken_group_ahead_of_the_lanes(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_KafkaSourcePartition, "snapshot", commit_at_once)

    with pytest.raises(StateError, match="records are missing between"):
        die_at_the_end_of_an_epoch(harness, 2)


def test_broken_group_ahead_of_lanes_that_know_nothing(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that has never committed cannot tell a gap: only the group's offset keeps it."""
    monkeypatch.setattr(_KafkaSourcePartition, "snapshot", commit_at_once)

    assert die_at_the_end_of_an_epoch(harness, 1) == (10, 0)


def lose_the_changelog(harness: LaneHarness) -> tuple[int, int]:
    """Go on without recovery directory when the changelog is gone, but not the group's offsets."""
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

    assert lose_the_changelog(harness) == (0, 10)


# Rule 6: what the window does not need is trimmed, and no more.


def wait_until_trimmed(harness: LaneHarness) -> None:
    deadline = time.monotonic() + SECONDS
    while min(harness.changelog_span(lane)[0] for lane in range(harness.lanes)) == 0:
        assert time.monotonic() < deadline, "the changelog was not trimmed"
        time.sleep(0.05)


def test_the_changelog_is_trimmed_as_event_time_moves_on(make_harness: MakeHarness) -> None:
    harness = make_harness(window_seconds=50.0)
    records = make_records(0, 2000)
    run = harness.run()
    for begin in range(0, 2000, 100):
        run.feed(records[begin : begin + 100])
        run.snapshot()
    wait_until_trimmed(harness)
    held = run.keys()

    again = repeats(records[-200:], 2000)
    after = harness.run()  # without recovery directory
    after.feed(again, start=2000)
    assert sum(lane.sequence for lane in after.lanes.values()) > 0
    after.snapshot()

    harness.check([*records, *again])
    assert after.keys() == held
    assert len(harness.topics.read(["duplicate"])["duplicate"]) == 200


def answer_in_epochs(harness: LaneHarness) -> None:
    """Answer 100 records within a window, 20 in an epoch; killed then."""
    run = harness.run()
    for begin in range(0, 100, 20):
        run.feed(make_records(begin, begin + 20))
        run.settle()
        run.snapshot()


def repeats_found(harness: LaneHarness) -> int:
    """How many of the 100 a process without recovery directory knows."""
    after = harness.run()
    after.feed(repeats(make_records(0, 100), 100), start=100)
    after.snapshot()
    return len(harness.topics.read(["duplicate"])["duplicate"])


def test_without_progress_of_event_time_nothing_is_trimmed(harness: LaneHarness) -> None:
    answer_in_epochs(harness)
    time.sleep(0.5)

    assert [harness.changelog_span(lane)[0] for lane in range(harness.lanes)] == [0, 0]
    assert repeats_found(harness) == 100


def test_broken_trim_by_the_clock(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_clock(_: TumblingStore, newest: float, __: float) -> bool:
        return newest < time.time() - WINDOW_SECONDS

    monkeypatch.setattr(TumblingStore, "is_expired", by_the_clock)
    answer_in_epochs(harness)
    wait_until_trimmed(harness)

    assert repeats_found(harness) < 100


def go_on_after_a_trim(harness: LaneHarness) -> tuple[int, int]:
    """Have the first of two epochs trimmed, and go on where the first one ended."""
    records = make_records(0, 1000)
    run = harness.run()
    for begin in (0, 500):
        run.feed(records[begin : begin + 500])
        run.settle()
        run.snapshot()
    wait_until_trimmed(harness)

    after = harness.run()
    after.feed(records, start=500)
    after.snapshot()
    return harness.doubled(records)


def test_a_trim_leaves_how_far_the_lane_got(make_harness: MakeHarness) -> None:
    assert go_on_after_a_trim(make_harness(window_seconds=50.0)) == (0, 0)


def test_broken_trim_of_more_than_has_expired(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    trim, to_the_end = Changelog.trim, -1
    monkeypatch.setattr(Changelog, "trim", lambda log, lane, _: trim(log, lane, to_the_end))

    assert go_on_after_a_trim(make_harness(window_seconds=50.0)) == (0, 500)


# Rule 7: state of other settings is not read.


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_settings_that_changed_are_named(harness: LaneHarness, with_snapshot: bool) -> None:
    run = harness.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    changed = harness.run(snapshot if with_snapshot else None, fingerprint={"DEDUP_KEYS": "b"})
    with pytest.raises(StateError, match=r"DEDUP_KEYS was a when .* and is b now"):
        changed.feed(make_records(10, 20))


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_broken_settings_that_are_not_compared(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch, with_snapshot: bool
) -> None:
    for module in (lane_opener, deduplicate):
        monkeypatch.setattr(module, "check_fingerprint", lambda *_: None)
    events = make_records(0, 10)
    run = harness.run()
    run.feed(events)
    snapshot = run.snapshot()

    changed = harness.run(
        snapshot if with_snapshot else None,
        fingerprint={"DEDUP_KEYS": "b"},
        settings=Settings(keys=(("user_id", "event_id"),)),
    )
    changed.feed(repeats(events, 10), start=10)
    changed.snapshot()

    assert len(harness.topics.read(["duplicate"])["duplicate"]) == 0  # of ten


def test_broken_transaction_without_settings(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(change: LaneChange, _: dict[str, str]) -> Iterator[bytes]:
        return pack(change, {})

    monkeypatch.setattr(lane_writer, "pack", without)
    run = harness.run()
    run.feed(make_records(0, 10))
    run.snapshot()

    with pytest.raises(StateError, match=r"-changelog does not say which settings"):
        harness.run().feed(make_records(10, 20), start=10)


def test_broken_snapshot_without_settings(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Lane.snapshot

    def without(lane: Lane) -> LaneSnapshot:
        return replace(whole(lane), fingerprint={})

    monkeypatch.setattr(Lane, "snapshot", without)
    run = harness.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    with pytest.raises(StateError, match="the recovery directory does not say which"):
        harness.run(snapshot).feed(make_records(10, 20))


# What a snapshot holds, and what of it is believed.


@pytest.mark.parametrize("most", [1_000_000, 0])
def test_restored_from_a_snapshot_with_and_without_keys(harness: LaneHarness, most: int) -> None:
    events = make_records(0, 20)
    run = harness.run(snapshot_max_bytes=most)
    run.feed(events[:10])
    snapshot = run.snapshot()
    assert all((one.keys is None) == (most == 0) for one in snapshot.states.values())
    run.feed(events[10:])
    run.snapshot()  # newer than what was kept

    again = repeats(events, 20)
    after = harness.run(snapshot, snapshot_max_bytes=most)
    after.feed(events[10:])
    after.feed(again)
    after.snapshot()

    harness.check([*events, *again])
    assert len(harness.topics.read(["duplicate"])["duplicate"]) == 20


def test_snapshots_of_two_clusters_at_a_time_are_not_mixed(harness: LaneHarness) -> None:
    """One that slept through a takeover may still write an epoch into the recovery directory."""
    events = make_records(0, 40)
    old = harness.run()
    old.feed(events[:10])
    slept = old.snapshot()
    new = harness.run()
    new.feed(events[:5], start=0)
    new.feed(events[5:40])
    newer = new.snapshot()
    assert slept.states[0].sequence < newer.states[0].sequence
    mixed = replace(newer, sinks={0: newer.sinks[0], 1: slept.sinks[1]}, states=slept.states)
    mixed = replace(mixed, positions=slept.positions)

    again = repeats(events, 40)
    after = harness.run(mixed)
    after.feed(events[10:])
    after.feed(again)
    after.snapshot()

    harness.check([*events, *again])
    assert len(harness.topics.read(["duplicate"])["duplicate"]) == 40


def test_a_changelog_that_is_gone(harness: LaneHarness) -> None:
    run = harness.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()
    harness.topics.delete(harness.changelog.topic)
    _make_again(harness)

    with pytest.raises(StateError, match=r"ahead of its changelog .* the topic is gone"):
        harness.run(snapshot).feed(make_records(10, 20))


def _make_again(harness: LaneHarness) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            harness.changelog.ensure(harness.topics.input)
            [harness.changelog_span(lane) for lane in range(harness.lanes)]
        except DedupError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_an_epoch_ends_though_nobody_says_where_the_changelog_ended(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart then reads from where it ended an epoch before."""
    harness = make_harness(lanes=4)
    records = make_records(0, 120)
    run = harness.run()
    for begin in (0, 20):
        run.feed(records[begin : begin + 20])
        run.settle()
    run.snapshot()
    ends = {}
    for lane, part in run.parts.items():
        assert part._resume is not None
        # As they are after some epochs in which not all lanes had records.
        part._resume = replace(part._resume, end=part._resume.end - lane)
        ends[lane] = part._resume.end
    with socket.socket() as silent, monkeypatch.context() as patched:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        patched.setattr(Changelog, "_shared_admin", lambda _: admin)
        run.feed(records[40:80])
        began = time.monotonic()
        snapshot = run.snapshot()
        # One question for all lanes; a process that is told to stop has nine seconds.
        assert time.monotonic() - began < 6.0
    assert {lane: resume.end for lane, resume in snapshot.sinks.items() if resume} == ends
    after = harness.run(snapshot)
    after.feed(records, start=0)
    after.snapshot()
    harness.check(records)
