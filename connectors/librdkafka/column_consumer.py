"""A consumer that returns columns of records: compiled loops instead of an object per record.

confluent_kafka's own consumer makes an object of each record, whose fields must then be read one
by one (docs/adr/0006).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from connectors.librdkafka.callbacks import ClientCallbacks
from connectors.librdkafka.library import CONSUMER, LIBRARY, LONG, Message
from connectors.librdkafka.message_columns import (
    destroy_messages,
    messages_size,
    places_of,
    read_messages,
)
from connectors.librdkafka.request_counts import ResponseCounts
from operators.batches import Records
from operators.columns.arrays import Ints

# Messages taken before their size is checked: large records may exceed the limit by these.
_CHUNK_MESSAGES: Final = 1000

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""

_NONE: Final[Mapping[Place, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Event:
    """A message that is not a record: the end of a partition, or an error.

    place: None if it concerns no partition.  offset: where.
    """

    error: KafkaError
    place: Place | None
    offset: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was read: the records of one partition after another.

    places: topic and partition of each group of records.  ends: for each group, the first row
    after its own rows.
    """

    records: Records
    places: Sequence[Place]
    ends: Sequence[int]
    events: Sequence[Event]


class ColumnConsumer:
    """librdkafka's consumer of some partitions; it commits to a group, but never joins it.

    Promises what librdkafka promises; errors are confluent_kafka's.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: librdkafka's, and `logger` and `error_cb` as confluent_kafka has them.

        Raises KafkaException without a group, and for a setting that librdkafka does not take.
        """
        self._handle = self._queue = 0
        settings = dict(settings)
        # librdkafka calls them until the client is destroyed.
        self._callbacks = ClientCallbacks(settings)
        conf = LIBRARY.settings(settings)
        self._callbacks.add_to(conf)
        self.responses = ResponseCounts(conf)
        self._handle = LIBRARY.client(CONSUMER, conf)
        _check(LIBRARY.poll_set_consumer(self._handle))
        self._queue = LIBRARY.queue_get_consumer(self._handle)
        self._callbacks.start(self._handle)
        self._messages = np.zeros(_CHUNK_MESSAGES, np.int64)

    def __del__(self) -> None:
        """Destroy the client, unless the process ends anyway."""
        # librdkafka waits for a commit under way, forever if the brokers are down:
        # confluentinc/librdkafka#3740.
        if not sys.is_finalizing():
            self._destroy()

    def add(self, offsets: Mapping[Place, int]) -> None:
        """Start reading partitions, each at an offset.  Raises KafkaException."""
        with _positions(offsets) as positions:
            LIBRARY.check(LIBRARY.incremental_assign(self._handle, positions))

    def read(self, max_records: int, size_bytes: int) -> Fetched:
        """Return the records that have arrived, and the events among them.  Never waits.

        It stops at `max_records`, and soon after `size_bytes` of records.  Raises KafkaException.
        """
        if len(self._messages) < max_records:
            self._messages = np.zeros(max_records, np.int64)
        messages, count, size = self._messages, 0, 0
        try:
            while count < max_records and size < size_bytes:
                room = min(_CHUNK_MESSAGES, max_records - count)
                place = messages.ctypes.data + count * messages.itemsize
                taken = LIBRARY.consume_batch_queue(self._queue, 0, place, room)
                if taken < 0:
                    raise KafkaException(KafkaError(LIBRARY.last_error()))
                size += messages_size(messages[count : count + taken])
                count += taken
                if taken < room:
                    break
            return _fetched(messages[:count])
        finally:
            destroy_messages(messages[:count])

    def known_end(self, place: Place) -> int:
        """Offset after the last record, from the last fetch response; below 0 before the first."""
        first, end = LONG(), LONG()
        topic, partition = place
        LIBRARY.get_watermark_offsets(self._handle, topic.encode(), partition, first, end)
        return end.value

    def commit(
        self, offsets: Mapping[Place, int], comments: Mapping[Place, str] = _NONE, *, wait: bool
    ) -> None:
        """Commit the group's next offsets, each with a comment.  Raises KafkaException."""
        with _positions(offsets, comments) as positions:
            _check(LIBRARY.commit(self._handle, positions, not wait))

    def add_brokers(self, brokers: str) -> None:
        """Tell the client its brokers again: it may have forgotten them."""
        LIBRARY.brokers_add(self._handle, brokers.encode())

    def close(self) -> None:
        """Stop reading and destroy the client; may wait forever for a commit under way."""
        LIBRARY.consumer_close(self._handle)
        self._destroy()

    def _destroy(self) -> None:
        handle, queue = self._handle, self._queue
        self._handle = self._queue = 0
        if queue:
            LIBRARY.queue_destroy(queue)
        if handle:
            LIBRARY.destroy(handle)


@contextmanager
def _positions(
    offsets: Mapping[Place, int], comments: Mapping[Place, str] = _NONE
) -> Iterator[int]:
    """Make a `rd_kafka_topic_partition_list_t`."""
    positions: int = LIBRARY.topic_partition_list_new(len(offsets))
    try:
        for (topic, partition), offset in offsets.items():
            position = LIBRARY.topic_partition_list_add(positions, topic.encode(), partition)
            position.contents.offset = offset
            if comments.get((topic, partition)):
                # confluent_kafka reads it up to a zero.  The list frees it.
                comment = comments[topic, partition].encode() + b"\0"
                memory = LIBRARY.mem_malloc(None, len(comment))
                ctypes.memmove(memory, comment, len(comment))
                position.contents.metadata = memory
                position.contents.metadata_size = len(comment)
        yield positions
    finally:
        LIBRARY.topic_partition_list_destroy(positions)


def _fetched(messages: Ints) -> Fetched:
    """Copy messages into records, in the order of their partitions.

    messages: addresses of `rd_kafka_message_t`.
    """
    places, groups = _groups(messages)
    if len(places) > 1:
        order = np.argsort(groups, kind="stable")
        messages, groups = messages[order], groups[order]
    records, others = read_messages(messages)
    events = [_event(address) for address in others]
    if others:
        is_record = ~np.isin(messages, others)
        groups = groups[is_record]
    ends = np.searchsorted(groups, np.arange(len(places)), side="right").tolist()
    return Fetched(records, places, ends, events)


def _groups(messages: Ints) -> tuple[list[Place], Ints]:
    """Return the places of messages, and for each message the index of its place."""
    topics, partitions = places_of(messages)
    # Messages come in runs of one partition.
    starts = np.flatnonzero(
        np.concatenate(([True], (topics[1:] != topics[:-1]) | (partitions[1:] != partitions[:-1])))[
            : len(topics)
        ]
    )
    groups: dict[tuple[int, int], int] = {}
    of_runs = [
        groups.setdefault(place, len(groups))
        for place in zip(topics[starts].tolist(), partitions[starts].tolist(), strict=True)
    ]
    names = {topic: _topic_name(topic) for topic, _ in groups}
    sizes = np.diff(np.append(starts, len(topics)))
    return (
        [(names[topic], partition) for topic, partition in groups],
        np.repeat(np.array(of_runs, np.int64), sizes),
    )


def _topic_name(topic: int) -> str:
    """Name of a `rd_kafka_topic_t`; empty for none, which an event may have."""
    return LIBRARY.text(LIBRARY.topic_name(topic)) if topic else ""


def _check(code: int) -> None:
    if code:
        raise KafkaException(KafkaError(code))


def _event(address: int) -> Event:
    message = ctypes.cast(address, ctypes.POINTER(Message))
    reason = LIBRARY.text(LIBRARY.message_errstr(message))
    content = message.contents
    place = (_topic_name(content.topic), content.partition) if content.topic else None
    return Event(KafkaError(content.err, reason), place, content.offset)
