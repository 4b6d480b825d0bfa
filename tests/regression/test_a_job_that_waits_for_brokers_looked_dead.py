"""A job that only waited for its brokers gave no sign of life for longer than probes allow.

At least once, on a full queue; exactly once, while a commit, an abort or a new producer was tried
again and again.  A restart cannot help there, and it takes away what the job was waiting for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import IsolationLevel

from connectors.at_least_once import producer as acknowledged_producer
from connectors.at_least_once.sink import KafkaSink, SinkSettings
from connectors.at_least_once.statistics_sink import StatsSink
from connectors.exactly_once import lane_producer, transaction_log
from connectors.exactly_once.lane_producer import LaneProducer, LostProducerError
from connectors.exactly_once.transaction_log import TransactionLog
from connectors.kafka import requests
from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import KafkaUnreachableError
from connectors.librdkafka.packed_records import PackedRecords
from deploy.kafka import Broker
from flows.assembly.parts import parts_for
from flows.launch import Launch
from operators.batches import Records
from operators.encode.encoder import Output
from operators.errors import StateError
from operators.lanes.placement import lane_names
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.statistics.summarize import Statistic
from tests.cases.settings import load
from tests.integration.conftest import MakeTopics
from tests.integration.mock_brokers import mock_brokers
from tests.integration.topics import VERDICTS

QUIET = {"log_level": 0}
ANSWER_MS = 300
QUEUE: dict[str, Any] = {"queue.buffering.max.messages": 5, "linger.ms": 0}
CALL_SECONDS, RETRY_SECONDS = 0.1, 3.0
# Less than a call is tried again for, and much more than a call, for busy machines.
LONGEST_SILENCE = 2.0


@dataclass
class Signs:
    """Signs of life, with the longest silence between two of them."""

    last: float = field(default_factory=time.monotonic)
    longest: float = 0.0
    count: int = 0

    def __call__(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last, self.count = now, self.count + 1


def records(count: int) -> Records:
    return Records(np.arange(count), [b"v"] * count, [b"k"] * count)


def test_at_least_once_with_a_full_queue() -> None:
    observer = Observer(Metrics())
    with mock_brokers() as brokers:
        brokers.create("out")
        access = KafkaAccess(
            brokers.bootstrap, "app", QUIET, producer=QUEUE, waiting=observer.liveness.note_outage
        )
        sink = KafkaSink(SinkSettings(access, dict.fromkeys(VERDICTS, "out"), 1), observer)
        part = sink.build_part("sink", lane_names(1)[0], None)
        part.write_batch([Output(0, 1, 1, 0, records(1), time.time())])
        part.snapshot()
        brokers.answer_after(ANSWER_MS)
        began, outages = time.monotonic(), observer.liveness.outages

        part.write_batch([Output(0, 2, 1, 0, records(20), time.time())])

        waited = time.monotonic() - began
        assert waited > 2 * ANSWER_MS / 1000
        assert observer.liveness.outages > outages
        assert observer.liveness.silent_seconds < waited / 2
        part.close()


def test_at_least_once_at_the_end_of_an_epoch_of_statistics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acknowledged_producer, "_CHECK_SECONDS", CALL_SECONDS)
    signs = Signs()
    with mock_brokers() as brokers:
        brokers.create("stats")
        access = KafkaAccess(brokers.bootstrap, "app", QUIET, waiting=signs)
        part = StatsSink(access, "stats").open(None)
        brokers.answer_after(ANSWER_MS)
        part.write_batch([Statistic(0.0, 60.0, "t", 1, 0, 0, 0)])
        signs.last, signs.longest = time.monotonic(), 0.0
        part.snapshot()
    assert signs.count > 5
    assert signs.longest < LONGEST_SILENCE


@pytest.mark.parametrize("call", ["commit", "abort", "renew"])
def test_exactly_once_while_a_call_is_tried_again(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_producer, "RETRY_TIMEOUT_SECONDS", RETRY_SECONDS)
    monkeypatch.setattr(lane_producer, "_CALL_SECONDS", CALL_SECONDS)
    signs = Signs()
    with mock_brokers() as brokers:
        for topic in ("out", "changelog"):
            brokers.create(topic)
        access = KafkaAccess(brokers.bootstrap, "app", QUIET, waiting=signs)
        producer = LaneProducer(access, 0)
        producer.begin()
        producer.produce("out", PackedRecords(records(1)))
        producer._producer.flush(10.0)
        calls: dict[str, Callable[[], object]] = {
            "commit": lambda: producer.commit("changelog", [b"change"]),
            "abort": producer.abort,
            "renew": producer.renew,
        }
        brokers.go_away()
        signs.count, signs.longest, signs.last = 0, 0.0, time.monotonic()

        with pytest.raises(LostProducerError):
            calls[call]()

    assert signs.count >= 3
    assert signs.longest < LONGEST_SILENCE
    assert time.monotonic() - signs.last < LONGEST_SILENCE


def test_exactly_once_while_no_record_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brokers still end the previous transaction (rule 9)."""
    monkeypatch.setattr(lane_producer, "_UNSENT_SECONDS", RETRY_SECONDS)
    monkeypatch.setattr(lane_producer, "_FLUSH_SECONDS", CALL_SECONDS)
    signs = Signs()
    with mock_brokers() as brokers:
        brokers.create("changelog")
        producer = LaneProducer(KafkaAccess(brokers.bootstrap, "app", QUIET, waiting=signs), 0)
        producer.begin()
        brokers.go_away()
        producer.commit("changelog", [b"change"])
    assert signs.count >= 3


def test_exactly_once_while_a_transaction_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_log, "RETRY_TIMEOUT_SECONDS", RETRY_SECONDS)
    ends = {IsolationLevel.READ_COMMITTED: 5, IsolationLevel.READ_UNCOMMITTED: 7}
    monkeypatch.setattr(TransactionLog, "_end", lambda _, number, level: number * 0 + ends[level])
    signs = Signs()
    log = TransactionLog(KafkaAccess("127.0.0.1:1", "app", QUIET, waiting=signs), "topic", "test")

    with pytest.raises(StateError, match="a transaction is open from offset 5 on"):
        log.wait_until_settled(0)

    assert signs.count >= 3
    assert signs.longest < LONGEST_SILENCE


def test_questions_that_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "REQUEST_SECONDS", RETRY_SECONDS / 2)
    signs = Signs()
    with mock_brokers() as brokers:
        brokers.create("changelog")
        access = KafkaAccess(brokers.bootstrap, "app", QUIET, waiting=signs)
        log = TransactionLog(access, "changelog", "test")
        consumer = log.consumer()
        try:
            assert log.ends(consumer, 0) == (0, 0)
            brokers.lose_leader("changelog")
            monkeypatch.setattr(transaction_log, "_ANSWER_SECONDS", CALL_SECONDS)
            with pytest.raises(KafkaUnreachableError):
                log.ends(consumer, 0)
        finally:
            consumer.close()
    assert signs.count >= 3


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_the_job_hears_of_it(
    broker: Broker, make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    """What writes tells the process; what watches the input in the background does not."""
    observer = Observer(Metrics())
    topics = make_topics(1)
    settings = load(
        brokers=broker.bootstrap,
        app_id=topics.prefix,
        guarantee=guarantee,
        input_topic=topics.input,
        state_dir=str(tmp_path),
        stats_topic=f"{topics.prefix}-stats",
        **{f"{verdict}_topic": topics.outputs[verdict] for verdict in VERDICTS},
    )
    parts = parts_for(settings, Launch(None, 0, 1, 1), observer)
    wanted = observer.liveness.note_outage
    sink: Any = parts.sink
    assert parts.statistics is not None
    statistics: Any = parts.statistics.sink
    source: Any = parts.source
    written = [statistics._access]
    written += (
        [sink._settings.access]
        if guarantee == "at_least_once"
        else [sink._opener._access, sink._changelog._access]
    )
    assert [access.waiting for access in written] == [wanted] * len(written)
    assert replace(source._settings.access).waiting != wanted
