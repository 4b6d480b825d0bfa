"""Each rule of the protocol (docs/adr/0002): kept, nothing is lost or doubled; broken, it shows."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer, TopicPartition

from connectors import lane_writer, transactions
from connectors.assembling import Assembler
from connectors.changelog import Changelog, ChangelogEntry
from connectors.kafka_errors import Action
from connectors.lane_writer import LaneWriter
from operators.batches import Slice
from operators.deduplicate import Lane
from operators.encode import Output
from operators.errors import DedupError, SinkError, StateError
from tests.integration.conftest import MakeTopics
from tests.integration.lanes_rig import Rig, Run, make_records, raising, repeats
from tests.pipeline import records_of

SECONDS = 30.0


@pytest.fixture(autouse=True)
def failures(monkeypatch: pytest.MonkeyPatch) -> list[DedupError]:
    """Errors that would have ended the process; those of the worker's thread are raised too."""
    found: list[DedupError] = []
    raising(monkeypatch, found)
    return found


@pytest.fixture
def rig(make_topics: MakeTopics, failures: list[DedupError]) -> Rig:
    return Rig(make_topics(1), failures=failures)


def wait_for_failure(rig: Rig) -> str:
    deadline = time.monotonic() + SECONDS
    while not rig.failures:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(rig.failures[0])


# Rule 1: batches are numbered, and written whole and in order.


def test_branches_that_run_at_different_speeds(rig: Rig) -> None:
    run = rig.run()
    events = make_records(0, 20)
    records = [*events, *repeats(events[:10], 20)]
    late: list[Output] = []
    run.deliver = lambda output: run.write(output) if output.verdict else late.append(output)
    for begin in range(0, 30, 5):
        run.feed(records[begin : begin + 5])
    for output in late:  # the unique ones come only now
        run.write(output)
    run.snapshot()

    rig.check(records)


def test_broken_parts_written_as_they_come(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Assembler, "add", lambda _, output: [[output]])
    run = rig.run()
    events = make_records(0, 20)

    with pytest.raises(StateError, match="should go on with batch"):
        run.feed([*events, *repeats(events, 20)])


def test_an_epoch_does_not_end_with_half_a_batch(rig: Rig) -> None:
    run = rig.run()
    run.feed(make_records(0, 5))
    run.parts[0].write_batch([Output(0, 99, 2, 1, records_of([]), 0.0)])

    with pytest.raises(StateError, match="not whole"):
        run.parts[0].snapshot()


# Rule 2: nothing durable is ahead of a lane in Kafka.


def test_a_snapshot_is_not_ahead_of_kafka(rig: Rig) -> None:
    records = make_records(0, 30)
    run = rig.run()
    run.feed(records[:10])
    snapshot = run.snapshot()
    run.feed(records[10:20])  # killed before these are committed

    after = rig.run(snapshot)
    after.feed(records[10:30])
    after.snapshot()

    rig.check(records)
    assert after.keys() == 30


def test_progress_without_records_is_committed_too(rig: Rig) -> None:
    records = make_records(0, 40)
    run = rig.run()
    run.feed(records[:1])  # one lane gets it; the other only learns how far it was read
    run.snapshot()

    after = rig.run()
    for number in range(rig.lanes):
        assert after.lane(number).progress == {0: 1}


def test_broken_commit_after_the_snapshot(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneWriter, "wait", lambda _: None)
    monkeypatch.setattr(LaneWriter, "request", lambda _: None)
    run = rig.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    with pytest.raises(StateError, match="ahead of its changelog"):
        rig.run(snapshot).feed(make_records(10, 20))


# Rule 3: fence, read the changelog to its end, only then decide.


def test_an_older_process_writes_nothing_more(rig: Rig) -> None:
    records = make_records(0, 20)
    old = rig.run()
    old.feed(records[:10])
    old.snapshot()
    old.feed(records[10:])
    new = rig.run()
    new.feed(records, start=0)
    for part in old.parts.values():
        part._writer.request()  # type: ignore[union-attr]

    assert "another process has taken over lane" in wait_for_failure(rig)
    new.snapshot()
    rig.check(records)


def test_broken_lane_without_fence(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(range(1000))

    def unfenced(settings: dict[str, object]) -> Producer:
        another = f"{rig.topics.prefix}-{next(names)}"
        return Producer({**settings, "transactional.id": another})

    monkeypatch.setattr(transactions, "Producer", unfenced)
    records = make_records(0, 20)
    old = rig.run()
    old.feed(records)
    new = rig.run()
    new.feed(records, start=0)
    new.snapshot()
    old.snapshot()

    assert rig.doubled(records) == (0, 20)


def test_an_open_transaction_is_settled_before_the_changelog_is_read(rig: Rig) -> None:
    records = make_records(0, 20)
    run = rig.run()
    run.feed(records[:10])
    run.snapshot()
    run.feed(records[10:])
    for part in run.parts.values():  # written, and not committed: then killed
        part._writer._producer._producer.flush(SECONDS)  # type: ignore[union-attr]

    after = rig.run()
    after.feed(records[5:], start=5)
    after.snapshot()

    rig.check(records)


def test_broken_changelog_not_read_to_its_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    records = make_records(0, 20)
    run = rig.run()
    for begin in (0, 10):
        run.feed(records[begin : begin + 10])
        run.snapshot()
    read = Changelog.read

    def not_all(*args: object) -> Iterator[ChangelogEntry]:
        entries = list(read(*args))  # type: ignore[arg-type]
        yield from entries[:-1]

    with monkeypatch.context() as broken:
        broken.setattr(Changelog, "read", not_all)
        after = rig.run()
        after.feed(records, start=0)
    after.snapshot()

    lost, doubled = rig.doubled(records)
    assert (lost, doubled) == (0, 10)


def test_the_sink_does_not_go_on_behind_a_stranger(rig: Rig) -> None:
    """Where state and sink do not meet the sink opens the lane again, and checks the number."""
    records = make_records(0, 20)
    run = rig.run()
    run.feed(records[:10])
    run.snapshot()
    between = rig.run()
    lane = between.lane(0)
    stranger = rig.run()
    stranger.feed(records[10:], start=10)
    stranger.snapshot()

    apart = rig.run()  # its sink has not seen the lane being opened
    opened = apart._opened.for_writing(0)
    assert opened.number == stranger.lane(0).number
    apart.lanes[0] = lane
    with pytest.raises(StateError, match="another process has written this lane meanwhile"):
        apart.feed(make_records(10, 20))


# Rule 4: what was answered is skipped, and a gap stops the job.


@pytest.mark.parametrize("start", [0, 3, 10])
def test_what_was_answered_is_skipped(rig: Rig, start: int) -> None:
    records = make_records(0, 20)
    run = rig.run()
    run.feed(records[:10])
    run.snapshot()

    after = rig.run()
    after.feed(records[start:], start=start)
    after.snapshot()

    rig.check(records)


def test_broken_skip(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    records = make_records(0, 20)
    run = rig.run()
    run.feed(records[:10])
    run.snapshot()
    monkeypatch.setattr(Lane, "_unanswered", _keep_all)

    after = rig.run()
    after.feed(records, start=0)
    after.snapshot()

    assert rig.doubled(records) == (0, 10)


def _keep_all(lane: Lane, slice_: Slice) -> tuple[Slice, int]:
    span = slice_.span
    lane.progress[span.partition] = max(lane.progress.get(span.partition, 0), span.end)
    return slice_, 0


def test_broken_source_that_starts_too_late(rig: Rig) -> None:
    run = rig.run()
    run.feed(make_records(0, 10))
    run.snapshot()

    with pytest.raises(StateError, match="records are missing between"):
        rig.run().feed(make_records(11, 20), start=11)


def test_broken_source_that_leaves_a_gap(rig: Rig) -> None:
    run = rig.run()
    run.feed(make_records(0, 10))

    with pytest.raises(StateError, match="records are missing between"):
        run.feed(make_records(11, 20), start=11)


# Rule 6: what the window does not need is trimmed, and no more.


def test_the_changelog_is_trimmed_as_event_time_moves_on(make_topics: MakeTopics) -> None:
    rig = Rig(make_topics(1), window_seconds=50.0)
    records = make_records(0, 2000)
    run = rig.run()
    for begin in range(0, 2000, 100):
        run.feed(records[begin : begin + 100])
        run.snapshot()
    deadline = time.monotonic() + SECONDS
    while min(rig.changelog_span(lane)[0] for lane in range(rig.lanes)) == 0:
        assert time.monotonic() < deadline, "the changelog was not trimmed"
        time.sleep(0.05)
    held = run.keys()

    again = repeats(records[-200:], 2000)
    after = rig.run()  # without recovery directory
    after.feed(again, start=2000)
    assert sum(lane.number for lane in after.lanes.values()) > 0
    after.snapshot()

    rig.check([*records, *again])
    assert after.keys() == held
    assert len(rig.topics.read(["duplicate"])["duplicate"]) == 200


def test_without_progress_of_event_time_nothing_is_trimmed(rig: Rig) -> None:
    run = rig.run()
    for begin in range(0, 100, 20):
        run.feed(make_records(begin, begin + 20))
        run.snapshot()
    time.sleep(0.5)

    assert [rig.changelog_span(lane)[0] for lane in range(rig.lanes)] == [0, 0]


# Rule 7: state of other settings is not read.


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_settings_that_changed_are_named(rig: Rig, with_snapshot: bool) -> None:
    run = rig.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    changed = rig.run(snapshot if with_snapshot else None, fingerprint={"DEDUP_KEYS": "b"})
    with pytest.raises(StateError, match=r"DEDUP_KEYS was a when .* and is b now"):
        changed.feed(make_records(10, 20))


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
    admin = rig.topics.admin()
    admin.delete_topics([rig.changelog.topic])[rig.changelog.topic].result(SECONDS)
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


# The lane's thread.


def test_closing_does_not_wait_for_a_lane_that_was_fenced(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process the failure of one lane ends all of it at once."""
    ended: list[float] = []
    monkeypatch.setattr(lane_writer, "fail", lambda _: ended.append(time.monotonic()))
    old = rig.run()
    old.feed(make_records(0, 20))
    transactions.LaneProducer(rig.access, 1)  # fences one lane only
    began = time.monotonic()
    old.parts[0].snapshot()
    old.parts[0].close()
    while not ended:
        assert time.monotonic() - began < 10
        time.sleep(0.02)


def test_a_lane_commits_early_rather_than_hold_too_much(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_writer, "_OPEN_RECORDS", 50)
    run = rig.run()
    records = make_records(0, 400)
    for begin in range(0, 400, 40):
        run.feed(records[begin : begin + 40])
    deadline = time.monotonic() + SECONDS
    while rig.doubled(records)[0] > 150:
        assert time.monotonic() < deadline, "nothing was committed before its time"
    run.snapshot()
    rig.check(records)


def test_a_lane_that_was_opened_again_goes_on(rig: Rig) -> None:
    records = make_records(0, 50)
    for begin in range(0, 50, 10):
        run: Run = rig.run()
        run.feed(records[: begin + 10], start=0)
        run.snapshot()
    rig.check(records)


def test_one_that_stood_still_for_too_long_ends(rig: Rig) -> None:
    """The brokers abort a transaction after transaction.timeout.ms, and fence its producer."""
    run = rig.run(access=replace(rig.access, producer={"transaction.timeout.ms": 1000}))
    run.feed(make_records(0, 10))
    for part in run.parts.values():
        part._writer._producer._producer.flush(SECONDS)  # type: ignore[union-attr]
    consumer = rig.changelog.consumer()
    unique = TopicPartition(rig.topics.outputs["unique"], 0)
    deadline = time.monotonic() + 2 * SECONDS  # brokers look every ten seconds
    while consumer.get_watermark_offsets(unique, SECONDS)[1] < 12:  # with two markers
        assert time.monotonic() < deadline, "the transactions were not aborted"
        time.sleep(0.1)
    consumer.close()

    with pytest.raises(SinkError, match=r"stood still for longer than transaction\.timeout\.ms"):
        run.snapshot()
    after = rig.run()
    after.feed(make_records(0, 10), start=0)
    after.snapshot()
    rig.check(make_records(0, 10))


def test_a_record_that_is_refused_names_the_topic(make_topics: MakeTopics) -> None:
    rig = Rig(make_topics(1), message_bytes=500)
    [record] = make_records(0, 1)
    big = replace(record, value=(record.value or b"").ljust(2000))

    run = rig.run()
    run.feed([big])
    with pytest.raises(SinkError, match=r"topic .*-unique refused a record.*max.message.bytes"):
        run.snapshot()


def test_a_record_refused_before_the_commit_names_the_topic(make_topics: MakeTopics) -> None:
    """The client takes no more records then, and would only say that its state is erroneous."""
    rig = Rig(make_topics(1), lanes=1, message_bytes=500)
    records = make_records(0, 50)
    big = replace(records[0], value=(records[0].value or b"").ljust(2000))
    run = rig.run()
    run.feed([big])
    run.parts[0]._writer._producer._producer.flush(SECONDS)  # type: ignore[union-attr]
    run.feed(records[1:])

    with pytest.raises(SinkError, match=r"topic .*-unique refused a record.*max.message.bytes"):
        run.snapshot()


def test_a_transaction_that_was_aborted_is_repeated_whole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = transactions.LaneProducer.commit
    aborted: list[int] = []

    def once(self: transactions.LaneProducer, *args: object) -> Action | None:
        if self.lane not in aborted:
            aborted.append(self.lane)
            self._producer.flush(SECONDS)
            return Action.REPEAT
        return commit(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(transactions.LaneProducer, "commit", once)
    records = make_records(0, 40)
    run = rig.run()
    run.feed(records[:20])
    run.snapshot()
    run.feed(records[20:])
    run.snapshot()

    assert sorted(aborted) == [0, 1]
    rig.check(records)


def test_a_transaction_that_is_aborted_again_and_again_ends_the_job(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions.LaneProducer, "commit", lambda *_: Action.REPEAT)
    monkeypatch.setattr(lane_writer, "PATIENCE_SECONDS", 0.5)
    run = rig.run()
    run.feed(make_records(0, 10))

    with pytest.raises(SinkError, match="aborted again and again"):
        run.snapshot()


def test_a_full_producer_queue_is_waited_for(make_topics: MakeTopics) -> None:
    rig = Rig(make_topics(1), lanes=1, producer={"queue.buffering.max.messages": 10})
    records = make_records(0, 100)
    run = rig.run()
    run.feed(records)
    run.snapshot()

    rig.check(records)
