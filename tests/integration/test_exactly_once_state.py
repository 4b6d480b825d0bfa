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
from connectors.kafka import starting_offsets
from connectors.kafka.access import KafkaAccess
from connectors.kafka.source import _KafkaSourcePartition
from operators import deduplicate
from operators.changes import LaneChange
from operators.errors import DedupError, StateError
from operators.lanes.lane import Lane
from operators.lanes.snapshot import LaneSnapshot
from operators.windows.tumbling import TumblingStore
from tests.integration.conftest import MakeRig
from tests.integration.lane_harness import WINDOW_SECONDS, Rig, make_records, repeats
from tests.model import Settings

SECONDS = 30.0


class SlowAccess(KafkaAccess):
    """A client takes its time to be made, as on a busy machine."""

    def admin(self) -> AdminClient:
        admin = super().admin()
        time.sleep(0.05)
        return admin


def test_workers_that_ask_at_the_same_moment_are_all_answered(rig: Rig) -> None:
    changelog = Changelog(SlowAccess(rig.topics.bootstrap, rig.topics.prefix), rig.lanes)
    found: list[dict[int, int]] = []

    def ask() -> None:
        found.append(changelog.last_offsets(range(rig.lanes)))

    workers = [Thread(target=ask, daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SECONDS)

    assert found == [dict.fromkeys(range(rig.lanes), 0)] * len(workers)


def test_no_client_asks_for_offsets_first(rig: Rig) -> None:
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

    changelog = Changelog(OverheardAccess(rig.topics.bootstrap, rig.topics.prefix), rig.lanes)
    changelog.ensure(rig.topics.input)
    changelog.last_offsets(range(rig.lanes))
    changelog.trim(0, 0)

    assert {"list_offsets", "delete_records"} <= {name for names in asked for name in names}
    assert {names[0] for names in asked} == {"list_topics"}


# Rule 5: the source begins at or before what the lanes have answered, never behind it.


def begin_at_latest(rig: Rig) -> tuple[int, int]:
    """Begin a new application at the end of its input, die, and begin it again when there is more.

    Returns how many of the records since then are lost and doubled.
    """
    rig.topics.produce(make_records(0, 10))
    died = rig.run()
    died.begin(rig.source("latest"))
    died.wait_until_opened()
    records = rig.topics.produce(make_records(10, 20))

    after = rig.run()
    after.begin(rig.source("latest"))
    after.read(20)
    after.snapshot()
    return rig.doubled(records)


def test_begun_at_the_end_it_begins_there_again(rig: Rig) -> None:
    assert begin_at_latest(rig) == (0, 0)


def test_broken_beginning_that_is_not_committed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Uncommitting(Consumer):
        def commit(self, *_: object, **__: object) -> None:  # type: ignore[override]
            pass

    monkeypatch.setattr(starting_offsets, "Consumer", Uncommitting)

    assert begin_at_latest(rig) == (10, 0)


def die_at_the_end_of_an_epoch(rig: Rig, epoch: int) -> tuple[int, int]:
    """Die when the source has ended its epoch but no lane has; go on without recovery directory."""
    run = rig.run()
    run.begin(rig.source())
    records = rig.topics.produce(make_records(0, 10))
    for number in range(1, epoch):
        run.read(10 * number)
        run.end_source_epoch()
        run.snapshot()
        records += rig.topics.produce(make_records(10 * number, 10 * number + 10))
    run.read(10 * epoch)
    run.end_source_epoch()

    after = rig.run()
    after.begin(rig.source())
    after.read(10 * epoch)
    after.snapshot()
    return rig.doubled(records)


@pytest.mark.parametrize("epoch", [1, 2])
def test_the_group_trails_the_lanes(rig: Rig, epoch: int) -> None:
    assert die_at_the_end_of_an_epoch(rig, epoch) == (0, 0)


def commit_at_once(source: _KafkaSourcePartition) -> int:
    source._commit(source._next, wait=True)
    return source._next


def test_broken_group_ahead_of_the_lanes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_KafkaSourcePartition, "snapshot", commit_at_once)

    with pytest.raises(StateError, match="records are missing between"):
        die_at_the_end_of_an_epoch(rig, 2)


def test_broken_group_ahead_of_lanes_that_know_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that has never committed cannot tell a gap: only the group's offset keeps it."""
    monkeypatch.setattr(_KafkaSourcePartition, "snapshot", commit_at_once)

    assert die_at_the_end_of_an_epoch(rig, 1) == (10, 0)


def lose_the_changelog(rig: Rig) -> tuple[int, int]:
    """Go on without recovery directory when the changelog is gone, but not the group's offsets."""
    records = rig.topics.produce(make_records(0, 10))
    run = rig.run()
    run.begin(rig.source())
    run.read(10)
    run.end_source_epoch()
    run.snapshot()
    records += rig.topics.produce(make_records(10, 20))
    run.read(20)
    run.end_source_epoch()
    run.snapshot()
    deadline = time.monotonic() + SECONDS
    while rig.topics.committed() != {0: 10}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rig.topics.delete(rig.changelog.topic)
    rig.changelog.ensure(rig.topics.input)

    after = rig.run()
    after.begin(rig.source())
    after.read(20)
    after.snapshot()
    return rig.doubled(records)


def test_offsets_without_a_changelog_are_refused(rig: Rig) -> None:
    with pytest.raises(StateError, match=r"its changelog .* is gone"):
        lose_the_changelog(rig)


def test_broken_application_without_changelog_taken_for_new(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changelog_topic, "_check_new_application", lambda *_: None)

    assert lose_the_changelog(rig) == (0, 10)


# Rule 6: what the window does not need is trimmed, and no more.


def wait_until_trimmed(rig: Rig) -> None:
    deadline = time.monotonic() + SECONDS
    while min(rig.changelog_span(lane)[0] for lane in range(rig.lanes)) == 0:
        assert time.monotonic() < deadline, "the changelog was not trimmed"
        time.sleep(0.05)


def test_the_changelog_is_trimmed_as_event_time_moves_on(make_rig: MakeRig) -> None:
    rig = make_rig(window_seconds=50.0)
    records = make_records(0, 2000)
    run = rig.run()
    for begin in range(0, 2000, 100):
        run.feed(records[begin : begin + 100])
        run.snapshot()
    wait_until_trimmed(rig)
    held = run.keys()

    again = repeats(records[-200:], 2000)
    after = rig.run()  # without recovery directory
    after.feed(again, start=2000)
    assert sum(lane.number for lane in after.lanes.values()) > 0
    after.snapshot()

    rig.check([*records, *again])
    assert after.keys() == held
    assert len(rig.topics.read(["duplicate"])["duplicate"]) == 200


def answer_in_epochs(rig: Rig) -> None:
    """Answer 100 records within a window, 20 in an epoch; killed then."""
    run = rig.run()
    for begin in range(0, 100, 20):
        run.feed(make_records(begin, begin + 20))
        run.settle()
        run.snapshot()


def repeats_found(rig: Rig) -> int:
    """How many of the 100 a process without recovery directory knows."""
    after = rig.run()
    after.feed(repeats(make_records(0, 100), 100), start=100)
    after.snapshot()
    return len(rig.topics.read(["duplicate"])["duplicate"])


def test_without_progress_of_event_time_nothing_is_trimmed(rig: Rig) -> None:
    answer_in_epochs(rig)
    time.sleep(0.5)

    assert [rig.changelog_span(lane)[0] for lane in range(rig.lanes)] == [0, 0]
    assert repeats_found(rig) == 100


def test_broken_trim_by_the_clock(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_clock(_: TumblingStore, newest: float, __: float) -> bool:
        return newest < time.time() - WINDOW_SECONDS

    monkeypatch.setattr(TumblingStore, "is_expired", by_the_clock)
    answer_in_epochs(rig)
    wait_until_trimmed(rig)

    assert repeats_found(rig) < 100


def go_on_after_a_trim(rig: Rig) -> tuple[int, int]:
    """Have the first of two epochs trimmed, and go on where the first one ended."""
    records = make_records(0, 1000)
    run = rig.run()
    for begin in (0, 500):
        run.feed(records[begin : begin + 500])
        run.settle()
        run.snapshot()
    wait_until_trimmed(rig)

    after = rig.run()
    after.feed(records, start=500)
    after.snapshot()
    return rig.doubled(records)


def test_a_trim_leaves_how_far_the_lane_got(make_rig: MakeRig) -> None:
    assert go_on_after_a_trim(make_rig(window_seconds=50.0)) == (0, 0)


def test_broken_trim_of_more_than_has_expired(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trim, to_the_end = Changelog.trim, -1
    monkeypatch.setattr(Changelog, "trim", lambda log, lane, _: trim(log, lane, to_the_end))

    assert go_on_after_a_trim(make_rig(window_seconds=50.0)) == (0, 500)


# Rule 7: state of other settings is not read.


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_settings_that_changed_are_named(rig: Rig, with_snapshot: bool) -> None:
    run = rig.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    changed = rig.run(snapshot if with_snapshot else None, fingerprint={"DEDUP_KEYS": "b"})
    with pytest.raises(StateError, match=r"DEDUP_KEYS was a when .* and is b now"):
        changed.feed(make_records(10, 20))


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_broken_settings_that_are_not_compared(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, with_snapshot: bool
) -> None:
    for module in (lane_opener, deduplicate):
        monkeypatch.setattr(module, "check_fingerprint", lambda *_: None)
    events = make_records(0, 10)
    run = rig.run()
    run.feed(events)
    snapshot = run.snapshot()

    changed = rig.run(
        snapshot if with_snapshot else None,
        fingerprint={"DEDUP_KEYS": "b"},
        settings=Settings(keys=(("user_id", "event_id"),)),
    )
    changed.feed(repeats(events, 10), start=10)
    changed.snapshot()

    assert len(rig.topics.read(["duplicate"])["duplicate"]) == 0  # of ten


def test_broken_transaction_without_settings(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(change: LaneChange, _: dict[str, str]) -> Iterator[bytes]:
        return pack(change, {})

    monkeypatch.setattr(lane_writer, "pack", without)
    run = rig.run()
    run.feed(make_records(0, 10))
    run.snapshot()

    with pytest.raises(StateError, match=r"-changelog does not say which settings"):
        rig.run().feed(make_records(10, 20), start=10)


def test_broken_snapshot_without_settings(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Lane.snapshot

    def without(lane: Lane) -> LaneSnapshot:
        return replace(whole(lane), fingerprint={})

    monkeypatch.setattr(Lane, "snapshot", without)
    run = rig.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    with pytest.raises(StateError, match="the recovery directory does not say which"):
        rig.run(snapshot).feed(make_records(10, 20))


# What a snapshot holds, and what of it is believed.


@pytest.mark.parametrize("most", [1_000_000, 0])
def test_restored_from_a_snapshot_with_and_without_keys(rig: Rig, most: int) -> None:
    events = make_records(0, 20)
    run = rig.run(snapshot_max_bytes=most)
    run.feed(events[:10])
    snapshot = run.snapshot()
    assert all((one.keys is None) == (most == 0) for one in snapshot.states.values())
    run.feed(events[10:])
    run.snapshot()  # newer than what was kept

    again = repeats(events, 20)
    after = rig.run(snapshot, snapshot_max_bytes=most)
    after.feed(events[10:])
    after.feed(again)
    after.snapshot()

    rig.check([*events, *again])
    assert len(rig.topics.read(["duplicate"])["duplicate"]) == 20


def test_snapshots_of_two_clusters_at_a_time_are_not_mixed(rig: Rig) -> None:
    """One that slept through a takeover may still write an epoch into the recovery directory."""
    events = make_records(0, 40)
    old = rig.run()
    old.feed(events[:10])
    slept = old.snapshot()
    new = rig.run()
    new.feed(events[:5], start=0)
    new.feed(events[5:40])
    newer = new.snapshot()
    assert slept.states[0].number < newer.states[0].number
    mixed = replace(newer, sinks={0: newer.sinks[0], 1: slept.sinks[1]}, states=slept.states)
    mixed = replace(mixed, positions=slept.positions)

    again = repeats(events, 40)
    after = rig.run(mixed)
    after.feed(events[10:])
    after.feed(again)
    after.snapshot()

    rig.check([*events, *again])
    assert len(rig.topics.read(["duplicate"])["duplicate"]) == 40


def test_a_changelog_that_is_gone(rig: Rig) -> None:
    run = rig.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()
    rig.topics.delete(rig.changelog.topic)
    _make_again(rig)

    with pytest.raises(StateError, match=r"ahead of its changelog .* the topic is gone"):
        rig.run(snapshot).feed(make_records(10, 20))


def _make_again(rig: Rig) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            rig.changelog.ensure(rig.topics.input)
            [rig.changelog_span(lane) for lane in range(rig.lanes)]
        except DedupError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_an_epoch_ends_though_nobody_says_where_the_changelog_ended(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart then reads from where it ended an epoch before."""
    rig = make_rig(lanes=4)
    records = make_records(0, 120)
    run = rig.run()
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
    after = rig.run(snapshot)
    after.feed(records, start=0)
    after.snapshot()
    rig.check(records)
