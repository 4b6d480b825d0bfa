"""Rules 1 to 4 of the protocol (connectors/exactly_once), kept and broken.

While a rule is kept, no record is lost or doubled; a test that breaks it sees that.  Rule 5 is in
test_exactly_once_start.py, 6 and 7 in test_exactly_once_state.py, 8 in test_exactly_once_errors.py,
9 in test_exactly_once_epochs.py.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from connectors.exactly_once import lane_producer
from connectors.exactly_once.changelog import Changelog, ChangelogEntry
from connectors.exactly_once.lane_writer import LaneWriter
from connectors.librdkafka.column_producer import ColumnProducer
from operators.batches import Slice
from operators.encode.encoder import Output
from operators.encode.reassemble import BatchReassembler
from operators.errors import SinkError, StateError
from operators.lanes.positions import Positions
from tests.integration.lane_harness import LaneHarness, make_records, repeats
from tests.pipeline import records_of

SECONDS = 30.0


def wait_for_failure(harness: LaneHarness) -> str:
    deadline = time.monotonic() + SECONDS
    while not harness.failures:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(harness.failures[0])


# Rule 1: batches are numbered, and written whole and in order.


def test_branches_that_run_at_different_speeds(harness: LaneHarness) -> None:
    run = harness.run()
    events = make_records(0, 20)
    records = [*events, *repeats(events[:10], 20)]
    late: list[Output] = []
    run.deliver = lambda output: run.write(output) if output.verdict else late.append(output)
    for begin in range(0, 30, 5):
        run.feed(records[begin : begin + 5])
    for output in late:  # the unique records come only now
        run.write(output)
    run.snapshot()

    harness.check(records)


def test_broken_parts_written_as_they_come(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchReassembler, "add", lambda _, output: [[output]])
    run = harness.run()
    events = make_records(0, 20)

    with pytest.raises(StateError, match="should go on with batch"):
        run.feed([*events, *repeats(events, 20)])


def test_an_epoch_does_not_end_with_half_a_batch(harness: LaneHarness) -> None:
    run = harness.run()
    run.feed(make_records(0, 5))
    run.parts[0].write_batch([Output(0, 99, 2, 1, records_of([]), 0.0)])

    with pytest.raises(SinkError, match="not whole"):
        run.parts[0].snapshot()


# Rule 2: nothing durable is ahead of a lane in Kafka.


def test_a_snapshot_is_not_ahead_of_kafka(harness: LaneHarness) -> None:
    records = make_records(0, 30)
    run = harness.run()
    run.feed(records[:10])
    snapshot = run.snapshot()
    run.feed(records[10:20])  # killed before these are committed

    after = harness.run(snapshot)
    after.feed(records[10:30])
    after.snapshot()

    harness.check(records)
    assert after.keys() == 30


def test_progress_without_records_is_committed_too(harness: LaneHarness) -> None:
    records = make_records(0, 40)
    run = harness.run()
    run.feed(records[:1])  # one lane gets it; the other only learns how far it was read
    run.snapshot()

    after = harness.run()
    for index in range(harness.lanes):
        assert after.lane(index).progress == {0: 1}


def test_broken_commit_after_the_snapshot(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LaneWriter, "wait", lambda _: None)
    monkeypatch.setattr(LaneWriter, "request", lambda _: None)
    run = harness.run()
    run.feed(make_records(0, 10))
    snapshot = run.snapshot()

    with pytest.raises(StateError, match="ahead of its changelog"):
        harness.run(snapshot).feed(make_records(10, 20))


# Rule 3: fence, read the changelog to its end, only then decide.


def test_an_older_process_writes_nothing_more(harness: LaneHarness) -> None:
    records = make_records(0, 20)
    old = harness.run()
    old.feed(records[:10])
    old.snapshot()
    old.feed(records[10:])
    new = harness.run()
    new.feed(records, start=0)
    for part in old.parts.values():
        part._writer.request()  # type: ignore[union-attr]

    assert "another process has taken over lane" in wait_for_failure(harness)
    new.snapshot()
    harness.check(records)


def test_broken_lane_without_fence(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(range(1000))

    def unfenced(settings: dict[str, object], waiting: Callable[[], object]) -> ColumnProducer:
        another = f"{harness.topics.prefix}-{next(names)}"
        return ColumnProducer({**settings, "transactional.id": another}, waiting)

    monkeypatch.setattr(lane_producer, "ColumnProducer", unfenced)
    records = make_records(0, 20)
    old = harness.run()
    old.feed(records)
    new = harness.run()
    new.feed(records, start=0)
    new.snapshot()
    old.snapshot()

    assert harness.doubled(records) == (0, 20)


def test_an_open_transaction_is_settled_before_the_changelog_is_read(harness: LaneHarness) -> None:
    records = make_records(0, 20)
    run = harness.run()
    run.feed(records[:10])
    run.snapshot()
    run.feed(records[10:])
    run.flush()  # written, not committed, then killed

    after = harness.run()
    after.feed(records[5:], start=5)
    after.snapshot()

    harness.check(records)


def test_broken_changelog_not_read_to_its_end(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = make_records(0, 20)
    run = harness.run()
    for begin in (0, 10):
        run.feed(records[begin : begin + 10])
        run.snapshot()
    read = Changelog.read

    def not_all(*args: object) -> Iterator[ChangelogEntry]:
        entries = list(read(*args))  # type: ignore[arg-type]
        yield from entries[:-1]

    with monkeypatch.context() as broken:
        broken.setattr(Changelog, "read", not_all)
        after = harness.run()
        after.feed(records, start=0)
    after.snapshot()

    lost, doubled = harness.doubled(records)
    assert (lost, doubled) == (0, 10)


# Rule 4: answered records are skipped, and a gap stops the job.


@pytest.mark.parametrize("start", [0, 3, 10])
def test_answered_records_are_skipped(harness: LaneHarness, start: int) -> None:
    records = make_records(0, 20)
    run = harness.run()
    run.feed(records[:10])
    run.snapshot()

    after = harness.run()
    after.feed(records[start:], start=start)
    after.snapshot()

    harness.check(records)


def test_broken_skip(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    records = make_records(0, 20)
    run = harness.run()
    run.feed(records[:10])
    run.snapshot()
    monkeypatch.setattr(Positions, "skip_answered", _keep_all)

    after = harness.run()
    after.feed(records, start=0)
    after.snapshot()

    assert harness.doubled(records) == (0, 10)


def _keep_all(positions: Positions, slice_: Slice, partitions: Sequence[int]) -> tuple[Slice, int]:
    progress = positions.progress
    for span, partition in zip(slice_.spans.spans, partitions, strict=True):
        progress[partition] = max(progress.get(partition, 0), span.end)
    return slice_, 0


def test_broken_source_that_starts_too_late(harness: LaneHarness) -> None:
    run = harness.run()
    run.feed(make_records(0, 10))
    run.snapshot()

    with pytest.raises(StateError, match="records are missing between"):
        harness.run().feed(make_records(11, 20), start=11)


def test_broken_source_that_leaves_a_gap(harness: LaneHarness) -> None:
    run = harness.run()
    run.feed(make_records(0, 10))

    with pytest.raises(StateError, match="records are missing between"):
        run.feed(make_records(11, 20), start=11)
