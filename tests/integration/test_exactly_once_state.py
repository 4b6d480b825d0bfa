"""Rules 6 and 7 of the protocol (connectors/exactly_once), kept and broken, and snapshots."""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient

from connectors.exactly_once import lane_opener, lane_transactions, opened_lane
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import pack
from connectors.exactly_once.transaction_log import TransactionLog
from operators.changes import LaneChange
from operators.errors import DedupError, StateError
from operators.lanes import lane as lane_module
from operators.lanes.lane import Lane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.windows.tumbling import TumblingStore
from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import WINDOW_SECONDS, LaneHarness, make_records, repeats
from tests.model import Settings

SECONDS = 30.0


# Rule 6: records that the window no longer needs are trimmed, and no others.


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
    """Answer 100 records of one window, 20 in each epoch; then die."""
    run = harness.run()
    for begin in range(0, 100, 20):
        run.feed(make_records(begin, begin + 20))
        run.settle()
        run.snapshot()


def repeats_found(harness: LaneHarness) -> int:
    """How many of the 100 keys a process without recovery directory knows."""
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
    """Trim the first of two epochs, then go on where the first one ended."""
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


def test_a_trim_keeps_the_progress_of_the_lane(make_harness: MakeHarness) -> None:
    assert go_on_after_a_trim(make_harness(window_seconds=50.0)) == (0, 0)


def test_broken_trim_of_live_segments(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    trim, to_the_end = Changelog.trim, -1
    monkeypatch.setattr(Changelog, "trim", lambda log, lane, _: trim(log, lane, to_the_end))

    assert go_on_after_a_trim(make_harness(window_seconds=50.0)) == (0, 500)


# Rule 7: state made with other settings is refused.


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
    for module in (lane_opener, lane_module):
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
    def without(change: LaneChange, _: dict[str, str] | None, run: int) -> Iterator[bytes]:
        return pack(change, {}, run)

    for module in (lane_transactions, opened_lane):
        monkeypatch.setattr(module, "pack", without)
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


# What a snapshot holds, and when it is used.


@pytest.mark.parametrize("max_bytes", [1_000_000, 0])
def test_restored_from_a_snapshot_with_and_without_keys(
    harness: LaneHarness, max_bytes: int
) -> None:
    events = make_records(0, 20)
    run = harness.run(snapshot_max_bytes=max_bytes)
    run.feed(events[:10])
    snapshot = run.snapshot()
    assert all((state.keys is None) == (max_bytes == 0) for state in snapshot.states.values())
    run.feed(events[10:])
    run.snapshot()  # newer than the one that is used

    again = repeats(events, 20)
    after = harness.run(snapshot, snapshot_max_bytes=max_bytes)
    after.feed(events[10:])
    after.feed(again)
    after.snapshot()

    harness.check([*events, *again])
    assert len(harness.topics.read(["duplicate"])["duplicate"]) == 20


def test_snapshots_of_two_clusters_at_a_time_are_not_mixed(harness: LaneHarness) -> None:
    """A process that slept through a takeover may still write an epoch into the directory."""
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
    _create_again(harness)

    with pytest.raises(StateError, match=r"ahead of its changelog .* the topic is gone"):
        harness.run(snapshot).feed(make_records(10, 20))


def _create_again(harness: LaneHarness) -> None:
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


def test_an_epoch_ends_though_no_broker_tells_the_end_of_the_changelog(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart then reads from where the changelog ended an epoch before."""
    harness = make_harness(lanes=4)
    records = make_records(0, 120)
    run = harness.run()
    for begin in (0, 20):
        run.feed(records[begin : begin + 20])
        run.settle()
    run.snapshot()
    ends = {}
    for lane, part in run.parts.items():
        assert part._snapshot is not None
        # As after several epochs in which only some lanes had records.
        part._snapshot = replace(part._snapshot, end=part._snapshot.end - lane)
        ends[lane] = part._snapshot.end
    with socket.socket() as silent, monkeypatch.context() as patched:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        patched.setattr(TransactionLog, "admin", lambda _: admin)
        run.feed(records[40:80])
        began = time.monotonic()
        snapshot = run.snapshot()
        # One request for all lanes; a process has nine seconds to stop.
        assert time.monotonic() - began < 6.0
    assert {lane: resume.end for lane, resume in snapshot.sinks.items() if resume} == ends
    after = harness.run(snapshot)
    after.feed(records, start=0)
    after.snapshot()
    harness.check(records)
