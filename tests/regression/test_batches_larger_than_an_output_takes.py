"""A burst of small records was refused as too large: brokers check the batch, not the record."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.kafka.access import MAX_BATCH_BYTES, KafkaAccess
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.topics import topic_config
from deploy.kafka import Broker
from flows.cli import app
from tests.integration.job import Job, fail, finish
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.integration.topics import Topics, read_topics
from tests.model import Record

_RECORDS = 3000


@pytest.fixture(params=["at_least_once", "exactly_once"])
def guarantee(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def topics_of(broker: Broker, prefix: str, **config: str) -> Topics:
    topics = Topics(broker.bootstrap, prefix)
    topics.create(topics.input, None, **config)
    return topics


def test_of_an_input_with_a_small_limit(
    broker: Broker, topic_prefix: str, tmp_path: Path, guarantee: str
) -> None:
    """The job makes the outputs, with room for its headers, not for its batches."""
    topics = topics_of(broker, topic_prefix)
    records = topics.produce(events(_RECORDS, seed=11))
    topics.alter(topics.input, "max.message.bytes", "100000")

    finish(Job(topics.settings | {"DEDUP_GUARANTEE": guarantee}, tmp_path))

    assert topic_config(topics.admin(), topics.outputs["unique"])["max.message.bytes"] == "116384"
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


@pytest.mark.parametrize("small", ["unique", "duplicate"])
def test_of_one_output(
    broker: Broker, topic_prefix: str, tmp_path: Path, guarantee: str, small: str
) -> None:
    topics = topics_of(broker, topic_prefix)
    topics.create(topics.outputs[small], max_message_bytes="6000")
    records = topics.produce(events(_RECORDS, seed=12, invalid=False))

    finish(Job(topics.settings | {"DEDUP_GUARANTEE": guarantee}, tmp_path))

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_of_statistics(broker: Broker, topic_prefix: str, tmp_path: Path) -> None:
    topics = topics_of(broker, topic_prefix)
    statistics = f"{topic_prefix}-statistics"
    topics.create(statistics, max_message_bytes="1000")
    topics.produce(events(_RECORDS, seed=13, invalid=False))
    settings = {"DEDUP_STATS_TOPIC": statistics, "DEDUP_STATS_SECONDS": "10"}

    finish(Job(topics.settings | settings, tmp_path))

    assert len(read_topics(broker.bootstrap, [statistics])) > 100


def test_of_generated_records(broker: Broker, topic_prefix: str) -> None:
    topics = topics_of(broker, topic_prefix, max_message_bytes="5000")
    target = ["--brokers", broker.bootstrap, "--topic", topics.input]

    assert app.main(["generate", "--records", "2000", *target]) == 0

    assert len(read_topics(broker.bootstrap, [topics.input])) == 2000


@pytest.mark.parametrize(
    "settings",
    [{"producer": {"batch.size": 50_000}}, {"common": {"batch.size": 50_000}}],
)
def test_a_size_of_the_users_stays(
    broker: Broker, topic_prefix: str, settings: Mapping[str, Any]
) -> None:
    topics = topics_of(broker, topic_prefix, max_message_bytes="5000")
    access = fitted(KafkaAccess(broker.bootstrap, "app", **settings), None, [topics.input])
    assert access.producer_settings("role")["batch.size"] == 50_000


def test_a_topic_that_takes_more_changes_nothing(broker: Broker, topic_prefix: str) -> None:
    topics = topics_of(broker, topic_prefix)
    access = fitted(KafkaAccess(broker.bootstrap, "app"), topics.input, [topics.input, ""])
    assert access.batch_bytes == MAX_BATCH_BYTES
    assert access.input_bytes == 1_048_588


def compressed(topics: Topics, draft: Record) -> Record:
    """Write a record of three million bytes that an input takes because it is compressed."""
    event = json.loads(draft.value or b"")
    event["data"] = {"text": "x" * 3_000_000}
    value = json.dumps(event).encode()
    settings = {"compression.type": "zstd", "message.max.bytes": 10_000_000, "log_level": 0}
    producer = Producer({"bootstrap.servers": topics.bootstrap, **settings})
    producer.produce(topics.input, value, draft.key, 0, timestamp=draft.timestamp_ms or 0)
    assert producer.flush(30) == 0
    return Record(0, 0, draft.key, value, None, draft.timestamp_ms)


def test_a_record_that_came_compressed(
    broker: Broker, topic_prefix: str, tmp_path: Path, guarantee: str
) -> None:
    """It is refused, as nothing is compressed unless told; the line says what to tell."""
    topics = topics_of(broker, topic_prefix)
    [draft] = events(1, seed=14, invalid=False)
    record = compressed(topics, draft)
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}

    line = fail(Job(settings, tmp_path))

    assert f"topic {topics.outputs['unique']} refused a record" in line
    assert "the input topic takes only 1048588, so it came compressed" in line
    told = '{"compression.type": "zstd"}'
    assert f"set DEDUP_PRODUCER={told}, or raise its max.message.bytes" in line

    finish(Job(settings | {"DEDUP_PRODUCER": told}, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order([record], topics.input))
