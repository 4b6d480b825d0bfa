"""The limit: consume and produce, and nothing else.

Arguments: brokers, input topic, output topic, records, and `loop` for a loop as one
writes it, or `columns` for one without Python code for each record: what the client
can do at most, with nothing done to a record.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from itertools import repeat

from confluent_kafka import Consumer, Message, Producer, TopicPartition


def _copy_by_columns(producer: Producer, sink: str, messages: list[Message]) -> None:
    stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
    calls = map(
        producer.produce,
        repeat(sink),
        map(Message.value, messages),
        map(Message.key, messages),
        repeat(-1),
        repeat(None),
        repeat(None),
        stamps,
    )
    deque(calls, maxlen=0)


def _copy_by_loop(producer: Producer, sink: str, messages: list[Message]) -> None:
    for message in messages:
        if message.error() is None:
            producer.produce(sink, message.value(), message.key(), timestamp=message.timestamp()[1])


_COPIES = {"loop": _copy_by_loop, "columns": _copy_by_columns}


def main(brokers: str, source: str, sink: str, records: int, how: str) -> None:
    """Copy so many records, key, value and timestamp."""
    copy = _COPIES[how]
    gc.disable()
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"bare-{sink}",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": 2_097_152,
        }
    )
    partitions = consumer.list_topics(source, 10).topics[source].partitions
    consumer.assign([TopicPartition(source, partition, 0) for partition in partitions])
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "batch.size": 1_000_000,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 10_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
    )
    copied = 0
    while copied < records:
        messages = consumer.consume(10_000, 0.1)
        copy(producer, sink, messages)
        copied += len(messages)
        producer.poll(0)
    producer.flush()
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
