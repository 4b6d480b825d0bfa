"""A consumer that returns columns of records: compiled loops instead of an object per record.

confluent_kafka's own consumer makes an object of each record, whose fields must then be read one
by one (docs/adr/0006).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from connectors.librdkafka.callbacks import ClientCallbacks
from connectors.librdkafka.library import CONSUMER, LIBRARY, LONG, Message, milliseconds
from connectors.librdkafka.message_columns import destroy_messages, read_messages, values_size
from operators.batches import Records

# Messages taken before their size is checked: large records may exceed the limit by these.
_CHUNK_MESSAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """A message that is not a record: the end of the partition, or an error.  offset: where."""

    error: KafkaError
    offset: int


class ColumnConsumer:
    """librdkafka's consumer of one topic partition; it commits to a group, but never joins it.

    Promises what librdkafka promises; errors are confluent_kafka's.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str, partition: int) -> None:
        """settings: librdkafka's, and `logger` and `error_cb` as confluent_kafka has them.

        Raises KafkaException without a group, and for a setting that librdkafka does not take.
        """
        self._handle = self._queue = 0
        settings = dict(settings)
        self._topic, self._partition = topic.encode(), partition
        # librdkafka calls them until the client is destroyed.
        self._callbacks = ClientCallbacks(settings)
        conf = LIBRARY.settings(settings)
        self._callbacks.add_to(conf)
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

    def assign(self, offset: int) -> None:
        """Start reading at an offset.  Raises KafkaException."""
        with self._position(offset) as position:
            _check(LIBRARY.assign(self._handle, position))

    def read(self, max_records: int, size_bytes: int) -> tuple[Records, list[Event]]:
        """Return the records that have arrived, and the events among them.  Never waits.

        It stops at `max_records`, and soon after `size_bytes` of values.  Raises KafkaException.
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
                size += values_size(messages[count : count + taken])
                count += taken
                if taken < room:
                    break
            records, others = read_messages(messages[:count])
            return records, [_event(address) for address in others]
        finally:
            destroy_messages(messages[:count])

    def known_end(self) -> int:
        """Offset after the last record, from the last fetch response; below 0 before the first."""
        first, end = LONG(), LONG()
        LIBRARY.get_watermark_offsets(self._handle, self._topic, self._partition, first, end)
        return end.value

    def ask_ends(self, seconds: float) -> tuple[int, int]:
        """Ask the brokers for the first offset and the end offset.  Raises KafkaException."""
        first, end = LONG(), LONG()
        _check(
            LIBRARY.query_watermark_offsets(
                *(self._handle, self._topic, self._partition, first, end, milliseconds(seconds))
            )
        )
        return first.value, end.value

    def commit(self, offset: int, *, wait: bool) -> None:
        """Commit the group's next offset.  Raises KafkaException."""
        with self._position(offset) as position:
            _check(LIBRARY.commit(self._handle, position, not wait))

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
    def _position(self, offset: int) -> Iterator[int]:
        """Make a `rd_kafka_topic_partition_list_t` with this partition."""
        position: int = LIBRARY.topic_partition_list_new(1)
        place = (position, self._topic, self._partition)
        try:
            LIBRARY.topic_partition_list_add(*place)
            LIBRARY.topic_partition_list_set_offset(*place, offset)
            yield position
        finally:
            LIBRARY.topic_partition_list_destroy(position)


def _check(code: int) -> None:
    if code:
        raise KafkaException(KafkaError(code))


def _event(address: int) -> Event:
    message = ctypes.cast(address, ctypes.POINTER(Message))
    reason = LIBRARY.text(LIBRARY.message_errstr(message))
    return Event(KafkaError(message.contents.err, reason), message.contents.offset)
