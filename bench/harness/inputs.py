"""The records that contenders read: made the same way for all benches."""

from __future__ import annotations

import argparse
import random
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import pack
from connectors.kafka.access import KafkaAccess
from operators.changes import Delta, LaneChange, LaneProgress

BEGAN = 1.7e9
"""Event time of the first record, epoch seconds; a thousand records are a second."""

# Up to the end of the hour: in the next tumbling window a key is not known any more.
_MOST_RECORDS = 2_800_000
_BYTES_BESIDE_NOTE = 150
_RECENT_KEYS = 200_000


def record_count(text: str) -> int:
    """Read the number of records, as argparse's `type`."""
    count = int(text)
    if count > _MOST_RECORDS:
        msg = f"at most {_MOST_RECORDS:,}, which is until a window ends"
        raise argparse.ArgumentTypeError(msg)
    return count


@dataclass(frozen=True, slots=True)
class Input:
    """A stream to be read to its end.

    size: of a record, bytes, about.  share: of records that repeat an earlier one's
    event id.  The record key is the event id, so that Kafka Streams, which looks at
    one partition at a time, meets the repeats too.  text: event times are RFC 3339 with
    milliseconds, not numbers.
    """

    records: int = 1_000_000
    size: int = 190
    share: float = 0.2
    partitions: int = 4
    seed: int = 1
    text: bool = False

    def produce(self, brokers: str, topic: str) -> int:
        """Make the topic and fill it; return how many of the records are unique."""
        admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        admin.create_topics([NewTopic(topic, self.partitions, 1)])[topic].result()
        rng = random.Random(self.seed)
        note = "x" * max(self.size - _BYTES_BESIDE_NOTE, 1)
        producer = Producer(
            {
                "bootstrap.servers": brokers,
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 500_000,
            }
        )
        unique = 0
        for number in range(self.records):
            if unique and rng.random() < self.share:
                key = rng.randrange(max(0, unique - _RECENT_KEYS), unique)
            else:
                key, unique = unique, unique + 1
            value = (
                f'{{"event_id":"event-{key:010d}","user_id":"user-{number % 1000}",'
                f'"event_type":"purchase","timestamp":{self._time(number)},'
                f'"data":{{"order":{number},"amount":19.99,"note":"{note}"}}}}'
            )
            produce_when_room(
                producer,
                partial(producer.produce, topic, value.encode(), key=f"event-{key:010d}".encode()),
            )
        producer.flush()
        return unique

    def _time(self, number: int) -> str:
        """Event time of a record, as JSON."""
        if not self.text:
            return f"{BEGAN + number / 1000:.3f}"
        second = datetime.fromtimestamp(BEGAN + number // 1000, timezone.utc)
        return f'"{second:%Y-%m-%dT%H:%M:%S}.{number % 1000:03}Z"'


def produce_when_room(producer: Producer, produce: partial[None]) -> None:
    """Produce a record, waiting while the queue is full."""
    while True:
        try:
            produce()
        except BufferError:
            producer.poll(0.1)
        else:
            return


@dataclass(frozen=True, slots=True)
class LiveKeys:
    """Keys that an application already holds when it starts: they are in its changelog.

    keys: in all lanes together.  at_once: how many a transaction committed; many small
    ones take longest to restore.
    """

    keys: int
    lanes: int = 4
    at_once: int = 1000

    def write(
        self, brokers: str, app_id: str, input_topic: str, fingerprint: dict[str, str]
    ) -> tuple[KafkaAccess, Changelog]:
        """Write the changelog as the lanes do, but for transactions: they are only markers."""
        access = KafkaAccess(brokers, app_id)
        changelog = Changelog(access, self.lanes)
        changelog.ensure(input_topic)
        producer = Producer(access.producer_settings("fill"))
        each = self.keys // self.lanes
        for lane in range(self.lanes):
            draw = np.random.default_rng(lane)
            for number, first in enumerate(range(0, each, self.at_once), 1):
                count = min(self.at_once, each - first)
                change = LaneChange(
                    LaneProgress(number, {}, {}, watermark=BEGAN - 1.0),
                    Delta(
                        draw.integers(0, 2**64 - 1, (count, 2), np.uint64, endpoint=True),
                        BEGAN + np.arange(first, first + count) / each,
                        np.arange(first, first + count),
                    ),
                )
                for value in pack(change, fingerprint):
                    produce_when_room(
                        producer,
                        partial(producer.produce, changelog.topic, value, partition=lane),
                    )
        producer.flush()
        return access, changelog


def any_name(prefix: str) -> str:
    """Give a name that no other run has."""
    return f"{prefix}-{secrets.token_hex(3)}"
