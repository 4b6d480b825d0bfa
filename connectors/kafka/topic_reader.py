"""Reads whole topics: read committed, up to where they ended at the beginning."""

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
from connectors.kafka.offsets import ask_offsets
from connectors.kafka.requests import REQUEST_SECONDS, retrying, unreachable_error
from connectors.kafka.topics import no_such_topic, partition_counts
from operators.errors import SourceError

_MOST_RECORDS = 10_000
_POLL_SECONDS = 0.05
# Without a record for so long although there should be some, something is wrong.
_STALLED_SECONDS = 60.0
_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Offsets: TypeAlias = dict[TopicPartition, int]
Span: TypeAlias = dict[int, tuple[int, int]]
"""Partition → offsets [start, end)."""


class TopicReader:
    """Reads whole topics, partition by partition, up to where they ended at the beginning."""

    def __init__(self, access: KafkaAccess, *, timestamps: bool) -> None:
        self._access = access
        self._admin: AdminClient = access.admin()
        self._counts = partition_counts(self._admin, access)
        self._consumer = Consumer(access.consumer_settings("audit", brief=True))
        # Once for all: the first `assign` of each topic would take a second otherwise.
        retrying(access, lambda: self._consumer.list_topics(timeout=REQUEST_SECONDS))
        self.timestamps = timestamps

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def settle(self, outputs: list[str], changelog: str, patience_seconds: float) -> list[str]:
        """Wait until transactions that are open now have ended; name those that have not."""
        topics = [topic for topic in (*outputs, changelog) if topic in self._counts]
        partitions = [place for topic in topics for place in self._partitions(topic)]
        wanted = self._offsets(partitions, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        until = time.monotonic() + patience_seconds
        while True:
            stable = self._offsets(partitions, _LATEST, IsolationLevel.READ_COMMITTED)
            hanging = [place for place in partitions if stable[place] < wanted[place]]
            if not hanging or time.monotonic() >= until:
                return [
                    f"{place.topic}-{place.partition}-{stable[place]}: open since this offset, "
                    f"{wanted[place] - stable[place]:,} records behind it cannot be read"
                    for place in hanging
                ]
            time.sleep(_POLL_SECONDS)

    def has(self, topic: str) -> bool:
        """Whether a topic exists."""
        return topic in self._counts

    def span(self, topic: str) -> Span:
        """Offsets of a topic that a `read_committed` reader can get now.

        Raises SourceError for a topic that does not exist.
        """
        partitions = self._partitions(topic)
        starts = self._offsets(partitions, _EARLIEST, IsolationLevel.READ_COMMITTED)
        ends = self._offsets(partitions, _LATEST, IsolationLevel.READ_COMMITTED)
        return {place.partition: (starts[place], ends[place]) for place in partitions}

    def read(self, topic: str, span: Span) -> Iterator[tuple[int, list[Message]]]:
        """Yield the records of a span: partition and some messages, in offset order."""
        for partition, (start, end) in span.items():
            for messages in self._read_partition(topic, partition, start, end):
                yield partition, messages

    def _read_partition(
        self, topic: str, partition: int, start: int, end: int
    ) -> Iterator[list[Message]]:
        """Yield the records of one partition with offsets in [start, end)."""
        if start >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        heard = time.monotonic()
        ended = False
        while not ended:
            try:
                messages = self._consumer.consume(_MOST_RECORDS, _POLL_SECONDS)
            except KafkaException as error:
                raise self._cannot_read(topic, partition, error_text(error)) from error
            # After `assign`, some of the last partition may still be on their way.
            mine = [one for one in messages if (one.topic(), one.partition()) == (topic, partition)]
            found = [one for one in mine if one.error() is None]
            ended = self._is_end(topic, partition, mine, end)
            if found:
                yield [one for one in found if (one.offset() or 0) < end]
            if mine:
                heard = time.monotonic()
            elif time.monotonic() - heard > _STALLED_SECONDS:
                raise self._cannot_read(topic, partition, "no more records come")

    def _is_end(self, topic: str, partition: int, messages: list[Message], end: int) -> bool:
        """Whether nothing below `end` can come after these.  Raises SourceError for errors."""
        for message in messages:
            event = message.error()
            if event is None:
                if (message.offset() or 0) >= end - 1:
                    return True
            elif event.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                raise self._cannot_read(topic, partition, error_text(event))
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
        found, errors = ask_offsets(self._admin, partitions, which, isolation, REQUEST_SECONDS)
        if errors:
            raise unreachable_error(self._access, next(iter(errors.values())))
        return found

    def _cannot_read(self, topic: str, partition: int, why: str) -> SourceError:
        return SourceError(f"cannot read topic {topic}, partition {partition}: {why}")
