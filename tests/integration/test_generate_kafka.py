"""`dedup generate` on Kafka: every record once, in its partition, with the right labels."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka import Broker
from flows.cli import app
from flows.cli.generate.options import StreamOptions
from flows.cli.generate.stream import generate

SECONDS = 30.0
WORDS = ["--records=2000", "--seed=7", "--step=2", "--late=0.1", "--invalid=0.1", "--near=0.1"]
OPTIONS = StreamOptions(
    records=2000, seed=7, step_seconds=2, late=0.1, invalid=0.1, near=0.1, tombstones=True
)


def consume(bootstrap: str, topic: str, partitions: int, count: int) -> list[list[Message]]:
    """All records of each partition, in order; fails if there are more or fewer than `count`."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    found: list[list[Message]] = [[] for _ in range(partitions)]
    for message in consumer.consume(count, SECONDS):
        assert message.error() is None
        found[message.partition() or 0].append(message)
    assert consumer.consume(1, 0.5) == []
    consumer.close()
    assert sum(map(len, found)) == count
    return found


@pytest.mark.parametrize("key", ["user", "event", "none"])
def test_records_arrive_once_in_order_with_labels(
    broker: Broker, topic_prefix: str, tmp_path: Path, key: Literal["user", "event", "none"]
) -> None:
    labels = tmp_path / "labels.jsonl"
    target = [f"--brokers={broker.bootstrap}", f"--topic={topic_prefix}", "--partitions=3"]

    assert app.main(["generate", *WORDS, *target, f"--key={key}", f"--labels={labels}"]) == 0

    partitions = consume(broker.bootstrap, topic_prefix, 3, 2000)
    told = {
        (one["partition"], one["offset"]): one
        for one in map(json.loads, labels.read_text().splitlines())
    }
    assert len(told) == 2000
    options = dataclasses.replace(OPTIONS, partitions=3, record_key=key)
    offsets = [0, 0, 0]
    for record in generate(options):
        offset = offsets[record.partition]
        offsets[record.partition] += 1
        message = partitions[record.partition][offset]
        assert (message.value(), message.key()) == (record.value, record.key)
        headers = [("label", record.label.encode())]
        if record.repeats is not None:
            headers.append(("label-of", str(record.repeats).encode()))
        assert message.headers() == headers
        label = told[record.partition, offset]
        assert (label["index"], label["label"]) == (record.index, record.label)
        assert label.get("original") == record.repeats
        assert label["event_id"] == record.event_id


def test_a_topic_that_is_there_keeps_its_partitions(broker: Broker, topic_prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic_prefix, 2)])[topic_prefix].result(SECONDS)
    target = [f"--brokers={broker.bootstrap}", f"--topic={topic_prefix}", "--partitions=5"]

    assert app.main(["generate", *WORDS, *target, "--no-label-headers"]) == 0

    partitions = consume(broker.bootstrap, topic_prefix, 2, 2000)
    assert all(len(messages) > 100 for messages in partitions)
    assert all(message.headers() is None for messages in partitions for message in messages)


def test_the_topic_and_brokers_of_the_settings_are_the_default(
    broker: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_BROKERS", broker.bootstrap)
    monkeypatch.setenv("DEDUP_INPUT_TOPIC", topic_prefix)

    assert app.main(["generate", *WORDS]) == 0

    consume(broker.bootstrap, topic_prefix, 4, 2000)


def test_a_record_that_the_broker_refuses_is_an_error(
    broker: Broker, topic_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    small = NewTopic(topic_prefix, 1, config={"max.message.bytes": "100"})
    admin.create_topics([small])[topic_prefix].result(SECONDS)

    status = app.main(["generate", f"--brokers={broker.bootstrap}", f"--topic={topic_prefix}"])

    assert status == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dedup: cannot write to topic {topic_prefix}: ")
    assert error.count("\n") == 1


def test_brokers_that_do_not_answer_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.kafka.topics.REQUEST_SECONDS", 0.5)

    assert app.main(["generate", "--brokers=127.0.0.1:1", "--topic=t"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dedup: cannot talk to Kafka")
    assert error.count("\n") == 1
