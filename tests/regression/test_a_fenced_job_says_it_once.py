"""A job that was fenced wrote three error lines of its client before its own one."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from connectors.exactly_once.lane_producer import LaneProducer
from connectors.kafka.access import KafkaAccess
from connectors.librdkafka.packed_records import PackedRecords
from deploy.kafka import Broker
from operators.errors import SinkError
from tests.integration.job import SECONDS, Job
from tests.integration.mock_brokers import MockBrokers, Request, mock_brokers
from tests.integration.streams import events
from tests.integration.topics import Topics
from tests.model import Record
from tests.pipeline import records_of

_OUTPUT, _CHANGELOG = "app-unique", "app-changelog"


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers() as found:
        for topic in (_OUTPUT, _CHANGELOG):
            found.create(topic)
        yield found


def commit_fails(brokers: MockBrokers, request: Request, code: int) -> None:
    producer = LaneProducer(KafkaAccess(brokers.bootstrap, "app"), 0)
    brokers.answer(request, [code])
    producer.begin()
    producer.produce(_OUTPUT, PackedRecords(records_of([Record(0, 0, b"key", b"value")])))
    with pytest.raises(SinkError):
        producer.commit(_CHANGELOG, [b"change"])


_ERRORS = [
    (Request.ADD_PARTITIONS_TO_TXN, KafkaError.PRODUCER_FENCED),
    (Request.PRODUCE, KafkaError.INVALID_PRODUCER_EPOCH),
    (Request.END_TXN, KafkaError.PRODUCER_FENCED),
    (Request.END_TXN, KafkaError.INVALID_TXN_STATE),
]


@pytest.mark.parametrize("request_,code", _ERRORS)
def test_what_the_error_says_is_not_logged_besides(
    brokers: MockBrokers, caplog: pytest.LogCaptureFixture, request_: Request, code: int
) -> None:
    with caplog.at_level(logging.INFO, "dedup"):
        commit_fails(brokers, request_, code)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_it_is_there_for_debugging(brokers: MockBrokers, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "dedup"):
        commit_fails(brokers, *_ERRORS[0])
    found = [one for one in caplog.records if one.getMessage().startswith("FATAL")]
    assert [one.levelno for one in found] == [logging.DEBUG]


def test_a_cluster_that_another_took_over_from(
    broker: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topics = Topics(broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    topics.produce(events(200, seed=21))
    settings = topics.settings | {"DEDUP_STOP_AT_END": "false"}
    with Job(settings, tmp_path) as old:
        old.wait_until(lambda: topics.committed().get(0) == 200)
        with Job(settings, tmp_path):
            deadline = time.monotonic() + SECONDS
            seed = 22
            while old.alive and time.monotonic() < deadline:
                topics.produce(events(20, seed=seed))
                seed += 1
                time.sleep(0.2)
            [ended] = old.wait()
    assert ended.status == 1
    assert "another process has taken over lane" in ended.error
    above = [line for line in ended.stderr.splitlines() if " ERROR " in line or "CRITICAL" in line]
    assert above == []
