"""The thread of a lane: its backlog, early commits, and what ends it."""

import time
from threading import Event, Thread, current_thread

import pytest

from connectors.exactly_once import lane_producer, lane_writer
from connectors.librdkafka.column_producer import ANY_PARTITION, ColumnProducer
from connectors.librdkafka.packed_records import PackedRecords
from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import LaneHarness, Run, make_records

SECONDS = 30.0


def test_closing_does_not_wait_for_a_lane_that_was_fenced(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure of one lane ends the whole process at once."""
    ended: list[float] = []
    monkeypatch.setattr(lane_writer, "exit_with_error", lambda _: ended.append(time.monotonic()))
    old = harness.run()
    old.feed(make_records(0, 20))
    # Takes over one lane only.
    harness.run().lane(1)
    began = time.monotonic()
    old.parts[0].snapshot()
    old.parts[0].close()
    while not ended:
        assert time.monotonic() - began < 10
        time.sleep(0.02)


@pytest.mark.parametrize(
    "limit, value",
    [("_OPEN_RECORDS", 50), ("_OPEN_BYTES", 50 * len(make_records(0, 1)[0].value or b""))],
)
def test_a_lane_commits_early_when_it_holds_too_much(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(lane_writer, limit, value)
    run = harness.run()
    records = make_records(0, 400)
    for begin in range(0, 400, 40):
        run.feed(records[begin : begin + 40])
    # Well before the time at which every transaction is committed.
    deadline = time.monotonic() + lane_writer._MAX_OPEN_SECONDS / 2
    # The last records stay in an open transaction: do not wait for them.
    while sum(map(len, harness.topics.read(settled=False).values())) < 250:
        assert time.monotonic() < deadline, "nothing was committed early"
    run.snapshot()
    harness.check(records)


@pytest.mark.parametrize("limit", ["_BACKLOG_RECORDS", "_BACKLOG_BYTES"])
def test_the_worker_waits_while_the_backlog_is_full(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    gate = Event()

    class Held(ColumnProducer):
        def commit_transaction(self, seconds: float) -> None:
            gate.wait(SECONDS)
            super().commit_transaction(seconds)

    monkeypatch.setattr(lane_producer, "ColumnProducer", Held)
    monkeypatch.setattr(lane_writer, "_OPEN_RECORDS", 5)
    monkeypatch.setattr(lane_writer, limit, 5)
    harness = make_harness(lanes=1)
    run = harness.run()
    gate.set()
    run.open()
    gate.clear()
    records = make_records(0, 100)
    fed: list[int] = []

    def feed() -> None:
        for begin in range(0, 100, 10):
            run.hand_over(records[begin : begin + 10])
            fed.append(begin)

    worker = Thread(target=feed)
    worker.start()
    # One batch is being committed, one is in the backlog, and the third has to wait.
    worker.join(2.0)
    assert fed == [0, 10]
    gate.set()
    worker.join(SECONDS)
    run.snapshot()
    harness.check(records)


def test_an_epoch_commits_batches_that_were_only_handed_over(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(ColumnProducer):
        def produce(
            self, topic: str, records: PackedRecords, partition: int = ANY_PARTITION
        ) -> None:
            time.sleep(0.3)
            super().produce(topic, records, partition)

    monkeypatch.setattr(lane_producer, "ColumnProducer", Slow)
    run = harness.run()
    records = make_records(0, 40)
    for begin in range(0, 40, 10):
        run.hand_over(records[begin : begin + 10])
    run.snapshot()
    harness.check(records)


def test_a_lane_that_was_opened_again_goes_on(harness: LaneHarness) -> None:
    records = make_records(0, 50)
    for begin in range(0, 50, 10):
        run: Run = harness.run()
        run.feed(records[: begin + 10], start=0)
        run.snapshot()
    harness.check(records)


def test_a_full_producer_queue_is_waited_for(make_harness: MakeHarness) -> None:
    harness = make_harness(lanes=1, producer={"queue.buffering.max.messages": 10})
    records = make_records(0, 100)
    run = harness.run()
    run.feed(records)
    run.snapshot()

    harness.check(records)


def test_only_the_lane_thread_waits_for_the_client_to_begin(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    class Recording(ColumnProducer):
        def begin_transaction(self) -> None:
            super().begin_transaction()
            begun.append(current_thread().name)

    monkeypatch.setattr(lane_producer, "ColumnProducer", Recording)
    harness = make_harness(lanes=1)
    run = harness.run()
    run.open()
    begun.clear()
    records = make_records(0, 30)
    for begin in (0, 10, 20):
        run.feed(records[begin : begin + 10])
        run.snapshot()
    # The last one was begun ahead, and gets no record.
    assert begun == ["lane-0-writer"] * 4
    harness.check(records)
