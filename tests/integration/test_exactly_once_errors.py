"""Rule 8 of the protocol (connectors/exactly_once), kept and broken: errors."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.exactly_once import lane_producer, transaction_errors
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.exactly_once.lane_transactions import LaneTransactions
from connectors.exactly_once.lane_writer import LaneWriter
from connectors.exactly_once.transaction_errors import Action
from connectors.exactly_once.uncommitted import HeldBatch
from connectors.librdkafka.column_producer import ColumnProducer
from operators.errors import DedupError, SinkError, StateError
from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import LaneHarness, make_records

SECONDS = 30.0


# Rule 8: the same call again, the transaction again, or the end of the process.


def commit_late(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a commit of each lane time out; restart from a snapshot that was taken after it.

    It is the first one after the record of the lane's opening.
    """

    class Slow(ColumnProducer):
        commits = 0

        def commit_transaction(self, seconds: float) -> None:
            self.commits += 1
            if self.commits == 2:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "late", retriable=True))
            super().commit_transaction(seconds)

    records = make_records(0, 20)
    with monkeypatch.context() as patched:
        patched.setattr(lane_producer, "ColumnProducer", Slow)
        run = harness.run()
        run.feed(records[:10])
        snapshot = run.snapshot()

    after = harness.run(snapshot)
    after.feed(records[10:])
    after.snapshot()
    harness.check(records)


def test_a_commit_without_an_answer_is_called_again(
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
    """Let each lane's first transaction fail when it is committed."""
    commit = LaneProducer.commit
    aborted: list[int] = []

    def once(self: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        if self.index not in aborted:
            aborted.append(self.index)
            self._producer.flush(SECONDS)
            return Action.RETRY_TRANSACTION
        return commit(self, topic, changes)

    records = make_records(0, 40)
    run = harness.run()
    run.open()
    monkeypatch.setattr(LaneProducer, "commit", once)
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
    add = LaneTransactions.add
    added: list[HeldBatch] = []

    def only_at_first(self: LaneTransactions, batch: HeldBatch) -> None:
        if not any(batch is before for before in added):
            added.append(batch)
            add(self, batch)

    monkeypatch.setattr(LaneTransactions, "add", only_at_first)

    assert abort_once(harness, monkeypatch) == (20, 0)


def test_broken_transaction_committed_again_instead_of_repeated(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that were flushed before are committed with their repetition."""
    monkeypatch.setattr(LaneProducer, "abort", lambda _: None)
    monkeypatch.setattr(LaneTransactions, "_renew", lambda _: None)
    monkeypatch.setattr(LaneProducer, "begin", _begin_if_none_is_open)

    assert abort_once(harness, monkeypatch) == (0, 20)


_begin = LaneProducer.begin


def _begin_if_none_is_open(producer: LaneProducer) -> None:
    if not producer.in_transaction:
        _begin(producer)


def take_over(harness: LaneHarness) -> tuple[int, int]:
    """Let a process write the records of an older one's open transaction, which then commits."""
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


def test_a_fenced_process_ends(harness: LaneHarness) -> None:
    with pytest.raises(FencedError, match="another process has taken over lane"):
        take_over(harness)


def test_broken_fenced_process_that_goes_on(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = LaneProducer.commit

    def stubborn(self: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        try:
            return commit(self, topic, changes)
        except FencedError:
            self._producer = LaneProducer(harness.access, self.index)._producer
            self._producer.begin_transaction()
            return Action.RETRY_TRANSACTION

    monkeypatch.setattr(LaneProducer, "commit", stubborn)
    monkeypatch.setattr(LaneTransactions, "_renew", lambda _: None)
    monkeypatch.setattr(LaneTransactions, "_check_owner", lambda *_, **__: None)

    assert take_over(harness) == (0, 10)


def fail_to_commit(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail to commit; restart from the snapshot, if there is one."""

    def fail(*_: object) -> None:
        msg = "unexpected"
        raise SinkError(msg)

    run = harness.run()
    run.open()
    with monkeypatch.context() as failing:
        failing.setattr(LaneProducer, "commit", fail)
        run.feed(make_records(0, 10))
        snapshot = run.snapshot()
    harness.run(snapshot).feed(make_records(10, 20))


def test_a_failure_ends_the_process_before_its_snapshot(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SinkError, match="unexpected"):
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


def feed_a_refused_record(harness: LaneHarness) -> None:
    [record] = make_records(0, 1)
    run = harness.run()
    run.feed([replace(record, value=(record.value or b"").ljust(2000))])
    run.snapshot()


def test_a_refused_record_names_the_topic(make_harness: MakeHarness) -> None:
    with pytest.raises(SinkError, match=r"topic .*-unique refused a record.*max.message.bytes"):
        feed_a_refused_record(make_harness(message_bytes=500))


def test_broken_refusal_that_is_retried(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its row the job repeats it until the timeout, and the error says little."""
    monkeypatch.setattr(transaction_errors, "REFUSED", frozenset())
    monkeypatch.setattr(lane_producer, "RETRY_TIMEOUT_SECONDS", 0.5)

    with pytest.raises(SinkError, match="aborted again and again"):
        feed_a_refused_record(make_harness(message_bytes=500))


def test_a_time_out_that_the_brokers_do_not_allow_is_named(make_harness: MakeHarness) -> None:
    day = 24 * 3600 * 1000
    harness = make_harness(producer={"transaction.timeout.ms": day, "message.timeout.ms": 300_000})
    with pytest.raises(SinkError, match=r"lane 0 .*larger than .*max\.transaction\.timeout\.ms"):
        LaneProducer(harness.access, 0)


def test_a_record_refused_before_the_commit_names_the_topic(make_harness: MakeHarness) -> None:
    """The client then takes no more records, and its own error would only name a wrong state."""
    harness = make_harness(lanes=1, message_bytes=500)
    records = make_records(0, 50)
    big = replace(records[0], value=(records[0].value or b"").ljust(2000))
    run = harness.run()
    run.feed([big])
    run.flush()
    run.feed(records[1:])

    with pytest.raises(SinkError, match=r"topic .*-unique refused a record.*max.message.bytes"):
        run.snapshot()


def test_a_transaction_that_is_aborted_again_and_again_ends_the_job(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = harness.run()
    run.open()
    monkeypatch.setattr(lane_producer.LaneProducer, "commit", lambda *_: Action.RETRY_TRANSACTION)
    monkeypatch.setattr(lane_producer, "RETRY_TIMEOUT_SECONDS", 0.5)
    run.feed(make_records(0, 10))

    with pytest.raises(SinkError, match="aborted again and again"):
        run.snapshot()


def test_a_process_that_paused_for_too_long_opens_its_lanes_again(harness: LaneHarness) -> None:
    """The brokers abort a transaction after transaction.timeout.ms, and fence its producer."""
    run = harness.run(access=replace(harness.access, producer={"transaction.timeout.ms": 1000}))
    run.feed(make_records(0, 10))
    run.flush()
    consumer = harness.changelog.consumer()
    unique = TopicPartition(harness.topics.outputs["unique"], 0)
    deadline = time.monotonic() + 2 * SECONDS  # brokers check every ten seconds
    while consumer.get_watermark_offsets(unique, SECONDS)[1] < 12:  # with two markers
        assert time.monotonic() < deadline, "the transactions were not aborted"
        time.sleep(0.1)
    consumer.close()

    run.feed(make_records(10, 20))
    run.snapshot()

    assert not harness.failures
    harness.check(make_records(0, 20))
