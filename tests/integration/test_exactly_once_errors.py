"""Rule 8 of the protocol (docs/adr/0002), kept and broken, and the thread of a lane."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event, Thread, current_thread

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.exactly_once import lane_producer, lane_writer, transaction_errors
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.exactly_once.lane_writer import LaneWriter
from connectors.exactly_once.transaction_errors import Action
from connectors.exactly_once.uncommitted import HeldBatch
from connectors.librdkafka.column_producer import ANY_PARTITION, ColumnProducer
from connectors.librdkafka.packed_records import PackedRecords
from operators.errors import DedupError, SinkError, StateError
from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import LaneHarness, Run, make_records

SECONDS = 30.0


# Rule 8: the same call again, the transaction again, or the end of the process.


def commit_late(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each lane's first commit time out; restart from a snapshot of after that."""

    class Slow(ColumnProducer):
        asked = False

        def commit_transaction(self, seconds: float) -> None:
            if not self.asked:
                self.asked = True
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "late", retriable=True))
            super().commit_transaction(seconds)

    records = make_records(0, 20)
    with monkeypatch.context() as slow:
        slow.setattr(lane_producer, "ColumnProducer", Slow)
        run = harness.run()
        run.feed(records[:10])
        snapshot = run.snapshot()

    after = harness.run(snapshot)
    after.feed(records[10:])
    after.snapshot()
    harness.check(records)


def test_a_commit_without_an_answer_is_asked_for_again(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_late(harness, monkeypatch)


def test_broken_commit_without_an_answer_taken_for_done(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_again(_: LaneProducer, call: Callable[[float], object]) -> None:
        with suppress(KafkaException):
            call(SECONDS)

    monkeypatch.setattr(LaneProducer, "_try", never_again)

    with pytest.raises(StateError, match="ahead of its changelog"):
        commit_late(harness, monkeypatch)


def abort_once(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Let each lane's first transaction be past saving when it is committed."""
    commit = LaneProducer.commit
    aborted: list[int] = []

    def once(self: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        if self.lane not in aborted:
            aborted.append(self.lane)
            self._producer.flush(SECONDS)
            return Action.RETRY_TRANSACTION
        return commit(self, topic, changes)

    monkeypatch.setattr(LaneProducer, "commit", once)
    records = make_records(0, 40)
    run = harness.run()
    run.feed(records[:20])
    run.snapshot()
    run.feed(records[20:])
    run.snapshot()

    assert sorted(aborted) == [0, 1]
    return harness.doubled(records)


def test_a_transaction_that_was_aborted_is_repeated_whole(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert abort_once(harness, monkeypatch) == (0, 0)


def test_broken_repetition_that_is_not_whole(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce = LaneWriter._produce
    produced: list[HeldBatch] = []

    def only_at_first(self: LaneWriter, batch: HeldBatch) -> None:
        if not any(batch is one for one in produced):
            produced.append(batch)
            produce(self, batch)

    monkeypatch.setattr(LaneWriter, "_produce", only_at_first)

    assert abort_once(harness, monkeypatch) == (20, 0)


def test_broken_transaction_committed_again_instead_of_repeated(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was flushed before is committed with what is repeated."""
    monkeypatch.setattr(LaneProducer, "abort", lambda _: None)
    monkeypatch.setattr(LaneWriter, "_renew", lambda _: None)
    monkeypatch.setattr(LaneWriter, "_begin", _begin_if_none_is_open)

    assert abort_once(harness, monkeypatch) == (0, 20)


def _begin_if_none_is_open(writer: LaneWriter) -> None:
    if not writer._in_transaction:
        writer._producer.begin()
        writer._in_transaction = True


def take_over(harness: LaneHarness) -> tuple[int, int]:
    """Have a process write what an older one has in an open transaction, which then commits."""
    records = make_records(0, 20)
    old = harness.run()
    old.feed(records[:10])
    old.snapshot()
    old.feed(records[10:])
    new = harness.run()
    new.feed(records, start=0)
    new.snapshot()
    old.snapshot()
    return harness.doubled(records)


def test_one_that_was_fenced_ends(harness: LaneHarness) -> None:
    with pytest.raises(FencedError, match="another process has taken over lane"):
        take_over(harness)


def test_broken_fenced_one_that_goes_on(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = LaneProducer.commit

    def stubborn(self: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        try:
            return commit(self, topic, changes)
        except FencedError:
            self._producer = LaneProducer(harness.access, self.lane)._producer
            self._producer.begin_transaction()
            return Action.RETRY_TRANSACTION

    monkeypatch.setattr(LaneProducer, "commit", stubborn)
    monkeypatch.setattr(LaneWriter, "_renew", lambda _: None)
    monkeypatch.setattr(LaneWriter, "_check_ours", lambda *_, **__: None)

    assert take_over(harness) == (0, 10)


def renew_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every commit be one that may have been asked for twice."""
    commit = LaneProducer.commit

    def doubtful(self: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        action = commit(self, topic, changes)
        self.doubtful = True
        return action

    monkeypatch.setattr(LaneProducer, "commit", doubtful)


def test_a_renewed_producer_goes_on(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    renew_after_each(monkeypatch)
    records = make_records(0, 40)
    run = harness.run()
    for begin in range(0, 40, 10):
        run.feed(records[begin : begin + 10])
        snapshot = run.snapshot()
    run.end()
    harness.run(snapshot).snapshot()

    harness.check(records)


def renew_over_another(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Have another process write a lane just before its older producer is renewed."""
    renew_after_each(monkeypatch)
    renew = LaneProducer.renew
    records = make_records(0, 20)

    def late(self: LaneProducer) -> None:
        with monkeypatch.context() as usual:
            usual.setattr(LaneWriter, "_renew", lambda _: None)
            new = harness.run()
            new.feed(records, start=0)
            new.snapshot()
            new.end()
        monkeypatch.setattr(LaneProducer, "renew", renew)
        renew(self)

    monkeypatch.setattr(LaneProducer, "renew", late)
    old = harness.run()
    old.feed(records[:10])
    old.snapshot()
    old.feed(records[10:])
    old.snapshot()
    return harness.doubled(records)


def test_a_renewed_producer_ends_where_another_has_written(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FencedError, match="another process has taken over lane 0"):
        renew_over_another(make_harness(lanes=1), monkeypatch)


def test_broken_renewal_that_does_not_look(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LaneWriter, "_check_ours", lambda *_, **__: None)

    assert renew_over_another(make_harness(lanes=1), monkeypatch) == (0, 10)


def fail_to_commit(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail to commit; restart from the snapshot, if there is one."""

    def fail(*_: object) -> None:
        msg = "not to be expected"
        raise SinkError(msg)

    with monkeypatch.context() as failing:
        failing.setattr(LaneProducer, "commit", fail)
        run = harness.run()
        run.feed(make_records(0, 10))
        snapshot = run.snapshot()
    harness.run(snapshot).feed(make_records(10, 20))


def test_a_failure_ends_the_process_before_its_snapshot(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SinkError, match="not to be expected"):
        fail_to_commit(harness, monkeypatch)


def test_broken_failure_that_does_not_end_the_process(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_on(self: LaneWriter, _: DedupError) -> None:
        with self._state:
            self._open.clear()
            self._state.notify_all()

    monkeypatch.setattr(LaneWriter, "_fail", go_on)

    with pytest.raises(StateError, match="ahead of its changelog"):
        fail_to_commit(harness, monkeypatch)


def feed_what_is_refused(harness: LaneHarness) -> None:
    [record] = make_records(0, 1)
    run = harness.run()
    run.feed([replace(record, value=(record.value or b"").ljust(2000))])
    run.snapshot()


def test_a_record_that_is_refused_names_the_topic(make_harness: MakeHarness) -> None:
    with pytest.raises(SinkError, match=r"topic .*-unique refused a record.*max.message.bytes"):
        feed_what_is_refused(make_harness(message_bytes=500))


def test_broken_refusal_that_is_tried_again(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its row the job repeats it until patience ends, and says little."""
    monkeypatch.setattr(transaction_errors, "REFUSED", frozenset())
    monkeypatch.setattr(lane_writer, "RETRY_TIMEOUT_SECONDS", 0.5)

    with pytest.raises(SinkError, match="aborted again and again"):
        feed_what_is_refused(make_harness(message_bytes=500))


def test_a_time_out_that_the_brokers_do_not_allow_is_named(make_harness: MakeHarness) -> None:
    day = 24 * 3600 * 1000
    harness = make_harness(producer={"transaction.timeout.ms": day, "message.timeout.ms": 300_000})
    with pytest.raises(SinkError, match=r"lane 0 .*larger than .*max\.transaction\.timeout\.ms"):
        LaneProducer(harness.access, 0)


def test_a_record_refused_before_the_commit_names_the_topic(make_harness: MakeHarness) -> None:
    """The client takes no more records then, and would only say that its state is erroneous."""
    harness = make_harness(lanes=1, message_bytes=500)
    records = make_records(0, 50)
    big = replace(records[0], value=(records[0].value or b"").ljust(2000))
    run = harness.run()
    run.feed([big])
    run.parts[0]._writer._producer._producer.flush(SECONDS)  # type: ignore[union-attr]
    run.feed(records[1:])

    with pytest.raises(SinkError, match=r"topic .*-unique refused a record.*max.message.bytes"):
        run.snapshot()


def test_a_transaction_that_is_aborted_again_and_again_ends_the_job(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_producer.LaneProducer, "commit", lambda *_: Action.RETRY_TRANSACTION)
    monkeypatch.setattr(lane_writer, "RETRY_TIMEOUT_SECONDS", 0.5)
    run = harness.run()
    run.feed(make_records(0, 10))

    with pytest.raises(SinkError, match="aborted again and again"):
        run.snapshot()


def test_one_that_stood_still_for_too_long_ends(harness: LaneHarness) -> None:
    """The brokers abort a transaction after transaction.timeout.ms, and fence its producer."""
    run = harness.run(access=replace(harness.access, producer={"transaction.timeout.ms": 1000}))
    run.feed(make_records(0, 10))
    for part in run.parts.values():
        part._writer._producer._producer.flush(SECONDS)  # type: ignore[union-attr]
    consumer = harness.changelog.consumer()
    unique = TopicPartition(harness.topics.outputs["unique"], 0)
    deadline = time.monotonic() + 2 * SECONDS  # brokers look every ten seconds
    while consumer.get_watermark_offsets(unique, SECONDS)[1] < 12:  # with two markers
        assert time.monotonic() < deadline, "the transactions were not aborted"
        time.sleep(0.1)
    consumer.close()

    with pytest.raises(SinkError, match=r"stood still for longer than transaction\.timeout\.ms"):
        run.snapshot()
    after = harness.run()
    after.feed(make_records(0, 10), start=0)
    after.snapshot()
    harness.check(make_records(0, 10))


# The lane's thread.


def test_closing_does_not_wait_for_a_lane_that_was_fenced(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process the failure of one lane ends all of it at once."""
    ended: list[float] = []
    monkeypatch.setattr(lane_writer, "exit_with_error", lambda _: ended.append(time.monotonic()))
    old = harness.run()
    old.feed(make_records(0, 20))
    lane_producer.LaneProducer(harness.access, 1)  # fences one lane only
    began = time.monotonic()
    old.parts[0].snapshot()
    old.parts[0].close()
    while not ended:
        assert time.monotonic() - began < 10
        time.sleep(0.02)


@pytest.mark.parametrize(
    "limit, most",
    [("_OPEN_RECORDS", 50), ("_OPEN_BYTES", 50 * len(make_records(0, 1)[0].value or b""))],
)
def test_a_lane_commits_early_rather_than_hold_too_much(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(lane_writer, limit, most)
    run = harness.run()
    records = make_records(0, 400)
    for begin in range(0, 400, 40):
        run.feed(records[begin : begin + 40])
    # Well before a transaction is committed however little is in it.
    deadline = time.monotonic() + lane_writer._LONGEST_OPEN_SECONDS / 2
    # What is left over stays open: nobody waits for that.
    while sum(map(len, harness.topics.read(settled=False).values())) < 250:
        assert time.monotonic() < deadline, "nothing was committed before its time"
    run.snapshot()
    harness.check(records)


@pytest.mark.parametrize("limit", ["_BACKLOG_RECORDS", "_BACKLOG_BYTES"])
def test_the_worker_waits_while_too_much_waits_for_a_commit(
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
    records = make_records(0, 100)
    fed: list[int] = []

    def feed() -> None:
        for begin in range(0, 100, 10):
            run.hand_over(records[begin : begin + 10])
            fed.append(begin)

    worker = Thread(target=feed)
    worker.start()
    # One batch is being committed, one waits, and the third has to.
    worker.join(2.0)
    assert fed == [0, 10]
    gate.set()
    worker.join(SECONDS)
    run.snapshot()
    harness.check(records)


def test_an_epoch_ends_with_what_was_only_handed_over(
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


def test_the_worker_never_waits_for_the_client_to_begin(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    class Noted(ColumnProducer):
        def begin_transaction(self) -> None:
            super().begin_transaction()
            begun.append(current_thread().name)

    monkeypatch.setattr(lane_producer, "ColumnProducer", Noted)
    harness = make_harness(lanes=1)
    run = harness.run()
    records = make_records(0, 30)
    for begin in (0, 10, 20):
        run.feed(records[begin : begin + 10])
        run.snapshot()
    # And there is one begun for what never comes.
    assert begun == ["lane-0-writer"] * 4
    harness.check(records)
