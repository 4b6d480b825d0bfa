"""Records of output topics for `dedup replay` to read, and what it has written."""

import time
from collections import Counter

from confluent_kafka import Producer

from tests.integration.job import SECONDS
from tests.integration.topics import Topics, read_topics, wait_until_settled
from tests.model import Record

TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
# Whole seconds, and young enough that retention does not delete the records.
NOW_MS = (int(time.time()) - 3600) * 1000


def answer(topics: Topics, offset: int, reason: str = "schema", topic_id: str = TOPIC_ID) -> Record:
    """An output record for the input record at an offset of the last partition."""
    verdict = "duplicate" if reason == "event_id" else "invalid"
    name = "dedup.matched" if verdict == "duplicate" else "dedup.reason"
    headers: list[tuple[str, bytes | None]] = [
        ("trace", b"\x00\xff"),
        ("null", None),
        ("dedup.verdict", verdict.encode()),
        ("dedup.topic", topics.input.encode()),
        ("dedup.topic.id", topic_id.encode()),
        ("dedup.partition", b"%d" % (topics.partitions - 1)),
        ("dedup.offset", b"%d" % offset),
        (name, reason.encode()),
    ]
    if verdict == "invalid":
        headers.append(("__connect.errors.exception.message", b"not good"))
    value = None if offset == 3 else b"value %d" % offset
    return Record(0, -1, b"key %d" % (offset % 5), value, headers, NOW_MS + offset * 1000)


def write(topics: Topics, verdict: str, records: list[Record]) -> None:
    topic = topics.outputs[verdict]
    if topic not in topics.admin().list_topics(timeout=SECONDS).topics:
        topics.create(topic, 1)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "enable.idempotence": True})
    for record in records:
        producer.produce(
            topic,
            record.value,
            record.key,
            headers=list(record.headers or []),
            timestamp=record.timestamp_ms or 0,
        )
    assert producer.flush(SECONDS) == 0


def read(topics: Topics, topic: str | None = None) -> list[Record]:
    """All records of a topic, by default of the input."""
    wait_until_settled(topics.bootstrap, [topic or topics.input])
    return [record for _, record in read_topics(topics.bootstrap, [topic or topics.input])]


def lost_and_doubled(topics: Topics, count: int) -> tuple[int, int]:
    """How many of the replays of the first answers are lost and doubled."""
    written = Counter(record.timestamp_ms or 0 for record in read(topics))
    given = Counter(NOW_MS + offset * 1000 for offset in range(count))
    return (given - written).total(), (written - given).total()
