"""Reads whole topics: committed records up to the ends that were known at the beginning."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeAlias

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.input_topics import input_partitions
from connectors.kafka.offsets import ask_offsets
from connectors.kafka.requests import REQUEST_SECONDS, retrying, unreachable_error
from connectors.kafka.topics import no_such_topic, partition_counts
from operators.errors import SourceError

_MAX_RECORDS = 10_000
_POLL_SECONDS = 0.05
# If no record comes for this long although some are expected, something is wrong.
_STALLED_SECONDS = 60.0
_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Offsets: TypeAlias = dict[TopicPartition, int]
OffsetRanges: TypeAlias = dict[int, tuple[int, int]]
"""Partition → offsets [start, end)."""


class TopicReader:
    """Reads whole topics, partition by partition, up to given offsets."""

    def __init__(self, access: KafkaAccess, *, timestamps: bool) -> None:
        """timestamps: whether the caller compares timestamps."""
        self._access = access
        self._admin: AdminClient = access.admin()
        self._counts = partition_counts(self._admin, access)
        self._consumer = Consumer(access.consumer_settings("audit", brief=True))
        # Without this the first `assign` of each topic would take a second.
        retrying(access, lambda: self._consumer.list_topics(timeout=REQUEST_SECONDS))
        self.timestamps = timestamps

    def close(self) -> None:
        """Close the connection to the brokers."""
        self._consumer.close()

    def settle(self, outputs: list[str], changelog: str, patience_seconds: float) -> list[str]:
        """Wait until transactions that are open now have ended; name those that have not.

        patience_seconds: how long to wait.
        """
        topics = [topic for topic in (*outputs, changelog) if topic in self._counts]
        partitions = [partition for topic in topics for partition in self._partitions(topic)]
        ends = self._offsets(partitions, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        deadline = time.monotonic() + patience_seconds
        while True:
            stable = self._offsets(partitions, _LATEST, IsolationLevel.READ_COMMITTED)
            still_open = [
                partition for partition in partitions if stable[partition] < ends[partition]
            ]
            if not still_open or time.monotonic() >= deadline:
                return [
                    f"{partition.topic}-{partition.partition}-{stable[partition]}: open since this "
                    f"offset, {ends[partition] - stable[partition]:,} records behind it cannot be "
                    "read"
                    for partition in still_open
                ]
            time.sleep(_POLL_SECONDS)

    def has(self, topic: str) -> bool:
        """Whether a topic exists."""
        return topic in self._counts

    def topic_id(self, topic: str) -> str:
        """Return Kafka's id of a topic; empty from brokers without ids.

        Raises SourceError for a topic that does not exist, and KafkaUnreachableError.
        """
        self._partitions(topic)
        partitions = input_partitions(self._access, self._admin, [topic])
        if not partitions:
            msg = f"topic {topic} is being created or deleted: start again"
            raise SourceError(msg)
        return partitions[0].topic_id

    def offset_ranges(self, topic: str) -> OffsetRanges:
        """Return the offsets of a topic that a `read_committed` reader can get now.

        Raises SourceError for a topic that does not exist.
        """
        partitions = self._partitions(topic)
        starts = self._offsets(partitions, _EARLIEST, IsolationLevel.READ_COMMITTED)
        ends = self._offsets(partitions, _LATEST, IsolationLevel.READ_COMMITTED)
        return {
            partition.partition: (starts[partition], ends[partition]) for partition in partitions
        }

    def read(self, topic: str, ranges: OffsetRanges) -> Iterator[tuple[int, list[Message]]]:
        """Yield the records of these offsets: a partition and some of its messages, in order."""
        for partition, (start, end) in ranges.items():
            for messages in self._read_partition(topic, partition, start, end):
                yield partition, messages

    def _read_partition(
        self, topic: str, partition: int, start: int, end: int
    ) -> Iterator[list[Message]]:
        """Yield the records of one partition with offsets in [start, end)."""
        if start >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        last_message = time.monotonic()
        ended = False
        while not ended:
            try:
                fetched = self._consumer.consume(_MAX_RECORDS, _POLL_SECONDS)
            except KafkaException as error:
                raise self._cannot_read(topic, partition, error_text(error)) from error
            # After `assign`, messages of the partition before may still arrive.
            messages = [
                message
                for message in fetched
                if (message.topic(), message.partition()) == (topic, partition)
            ]
            records = [message for message in messages if message.error() is None]
            ended = self._is_end(topic, partition, messages, end)
            if records:
                yield [record for record in records if (record.offset() or 0) < end]
            if messages:
                last_message = time.monotonic()
            elif time.monotonic() - last_message > _STALLED_SECONDS:
                raise self._cannot_read(topic, partition, "no more records come")

    def _is_end(self, topic: str, partition: int, messages: list[Message], end: int) -> bool:
        """Whether no record below `end` can follow these messages.  Raises SourceError."""
        for message in messages:
            error = message.error()
            if error is None:
                if (message.offset() or 0) >= end - 1:
                    return True
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                raise self._cannot_read(topic, partition, error_text(error))
            elif (message.offset() or 0) >= end:
                return True
        return False

    def _partitions(self, topic: str) -> list[TopicPartition]:
        if topic not in self._counts:
            msg = (
                f"{no_such_topic(topic, self._counts)}. Check the settings (`dedup config` shows "
                "them)"
            )
            raise SourceError(msg)
        return [TopicPartition(topic, number) for number in range(self._counts[topic])]

    def _offsets(
        self, partitions: list[TopicPartition], which: OffsetSpec, isolation: IsolationLevel
    ) -> Offsets:
        if not partitions:
            return {}
        offsets, errors = ask_offsets(self._admin, partitions, which, isolation, REQUEST_SECONDS)
        if errors:
            raise unreachable_error(self._access, next(iter(errors.values())))
        return offsets

    def _cannot_read(self, topic: str, partition: int, why: str) -> SourceError:
        return SourceError(f"cannot read topic {topic}, partition {partition}: {why}")
