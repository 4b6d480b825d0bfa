"""A consumer that gives columns of records: compiled loops instead of objects for each.

confluent_kafka's own consumer makes an object of each record, which has then to be asked
for one column after the other (docs/adr/0006).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import llvmlite.binding as llvm
import numba
import numpy as np
from confluent_kafka import KafkaError, KafkaException
from numba import types
from numba.extending import intrinsic

from connectors.librdkafka.callbacks import ClientCallbacks
from connectors.librdkafka.library import CONSUMER, LIBRARY, LONG, Message, milliseconds
from operators.batches import Records
from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn
from operators.columns.header_table import Headers
from operators.columns.jit import jit, memcpy

# Messages are measured so many at a time: few of them would be too many if they are large.
_AT_ONCE: Final = 1000

# `rd_kafka_message_t` in words of 8 bytes.
_WORDS: Final = 8
_ERROR, _VALUE, _KEY, _OFFSET = 0, 3, 5, 7
_ERROR_BITS: Final = 0xFFFFFFFF

for _name in ("message_timestamp", "message_headers", "header_get_all", "message_destroy"):
    llvm.add_symbol(f"rd_kafka_{_name}", LIBRARY.address(_name))
_timestamp: Any = types.ExternalFunction(
    "rd_kafka_message_timestamp", types.int64(types.intp, types.intp)
)
_headers: Any = types.ExternalFunction(
    "rd_kafka_message_headers", types.int32(types.intp, types.intp)
)
_header: Any = types.ExternalFunction(
    "rd_kafka_header_get_all",
    types.int32(types.intp, types.uintp, types.intp, types.intp, types.intp),
)
_destroy: Any = types.ExternalFunction("rd_kafka_message_destroy", types.void(types.intp))
_strlen: Any = types.ExternalFunction("strlen", types.intp(types.intp))


@dataclass(frozen=True, slots=True)
class Event:
    """What a consumer meets that is not a record, and at which offset: its end, or an error."""

    error: KafkaError
    offset: int


class ColumnConsumer:
    """librdkafka's consumer, of one topic partition; it belongs to a group, but does not join it.

    Promises what librdkafka does; errors are confluent_kafka's.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str, partition: int) -> None:
        """settings: librdkafka's, and `logger` and `error_cb` as confluent_kafka has them.

        Raises KafkaException for a setting that librdkafka does not take, and without a group.
        """
        self._handle = self._queue = 0
        rest = dict(settings)
        self._topic, self._partition = topic.encode(), partition
        # librdkafka calls them until it is destroyed.
        self._callbacks = ClientCallbacks(rest)
        conf = LIBRARY.settings(rest)
        self._callbacks.set_up(conf)
        self._handle = LIBRARY.client(CONSUMER, conf)
        _check(LIBRARY.poll_set_consumer(self._handle))
        self._queue = LIBRARY.queue_get_consumer(self._handle)
        self._callbacks.begin(self._handle)
        self._messages = np.zeros(_AT_ONCE, np.int64)

    def __del__(self) -> None:
        """Let go of it, unless the process ends anyway."""
        # librdkafka waits for a commit that is under way, for ever where the brokers are away:
        # confluentinc/librdkafka#3740.
        if not sys.is_finalizing():
            self._destroy()

    def assign(self, offset: int) -> None:
        """Read from an offset on.  Raises KafkaException."""
        with self._position(offset) as position:
            _check(LIBRARY.assign(self._handle, position))

    def read(self, most: int, size_bytes: int) -> tuple[Records, list[Event]]:
        """Take records that are there, without waiting for more, and what else was met.

        most, size_bytes: it ends with so many, or soon after so many bytes of values.
        Raises KafkaException.
        """
        if len(self._messages) < most:
            self._messages = np.zeros(most, np.int64)
        messages, count, size = self._messages, 0, 0
        try:
            while count < most and size < size_bytes:
                wanted = min(_AT_ONCE, most - count)
                place = messages.ctypes.data + count * messages.itemsize
                found = LIBRARY.consume_batch_queue(self._queue, 0, place, wanted)
                if found < 0:
                    raise KafkaException(KafkaError(LIBRARY.last_error()))
                size += _size(messages[count : count + found])
                count += found
                if found < wanted:
                    break
            return _taken(messages[:count])
        finally:
            _destroy_all(messages[:count])

    def known_end(self) -> int:
        """Offset after the last record, as the last answer to a fetch said; below 0 before any."""
        first, end = LONG(), LONG()
        LIBRARY.get_watermark_offsets(self._handle, self._topic, self._partition, first, end)
        return end.value

    def ask_ends(self, seconds: float) -> tuple[int, int]:
        """Ask the brokers for the first offset and the one after the last.

        Raises KafkaException.
        """
        first, end = LONG(), LONG()
        _check(
            LIBRARY.query_watermark_offsets(
                *(self._handle, self._topic, self._partition, first, end, milliseconds(seconds))
            )
        )
        return first.value, end.value

    def commit(self, offset: int, *, wait: bool) -> None:
        """Tell the group where to go on.  Raises KafkaException."""
        with self._position(offset) as position:
            _check(LIBRARY.commit(self._handle, position, not wait))

    def close(self) -> None:
        """Stop reading and let go of it; may wait for ever for a commit that is under way."""
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
        """Make `rd_kafka_topic_partition_list_t` of the one partition."""
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


def _taken(messages: Ints) -> tuple[Records, list[Event]]:
    """Copy messages into columns."""
    columns = np.empty((_COLUMNS, len(messages)), np.int64)
    count, headers = _look(messages, columns, _answers())
    events = []
    if count < len(messages):
        events = [_event(address) for address in columns[_OTHERS, : len(messages) - count].tolist()]
    columns = columns[:, :count]
    records = Records(
        offsets=columns[_OFFSETS].copy(),
        values=_bytes(columns[_VALUES], columns[_VALUE_SIZES]),
        keys=_bytes(columns[_KEYS], columns[_KEY_SIZES]),
        headers=_headers_of(columns[_HEADERS], headers) if headers else None,
        timestamps=columns[_STAMPS].copy(),
    )
    return records, events


def _event(address: int) -> Event:
    message = ctypes.cast(address, ctypes.POINTER(Message))
    said = LIBRARY.text(LIBRARY.message_errstr(message))
    return Event(KafkaError(message.contents.err, said), message.contents.offset)


def _bytes(places: Ints, sizes: Ints) -> ByteColumn:
    """Copy from addresses; 0 is none."""
    memory = np.empty(int(sizes.sum()), np.uint8)
    _gather(places, sizes, memory.ctypes.data)
    missing = places == 0
    return ByteColumn(memory, sizes.copy(), missing if missing.any() else None)


def _headers_of(lists: Ints, count: int) -> list[Headers]:
    """Headers of each record, None where there are none.  count: of all together."""
    columns = np.empty((4, count), np.int64)
    counts = np.empty(len(lists), np.int64)
    _look_at_headers(lists, columns, counts, _answers())
    names = [(name or b"").decode("utf-8", "replace") for name in _bytes(columns[0], columns[1])]
    pairs = list(zip(names, _bytes(columns[2], columns[3]), strict=True))
    ends = counts.cumsum().tolist()
    return [
        pairs[end - many : end] if many else None
        for end, many in zip(ends, counts.tolist(), strict=True)
    ]


def _answers() -> Ints:
    """Memory for what librdkafka answers.

    Compiled code would free an array of its own once only the address of it is used.
    """
    return np.zeros(3, np.int64)


def _make_pointer(_: object, __: object) -> Any:  # noqa: ANN401 - numba's own
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    pointer: Any = types.CPointer
    return pointer(types.int64)(types.intp), generate


# In compiled code: a pointer to words, of an address.
_pointer: Any = intrinsic(_make_pointer)
_array: Any = numba.carray  # type: ignore[attr-defined]

_COLUMNS: Final = 8
_OFFSETS, _VALUES, _VALUE_SIZES, _KEYS, _KEY_SIZES, _STAMPS, _HEADERS, _OTHERS = range(_COLUMNS)


@jit
def _size(messages: Ints) -> int:
    """Bytes of the values of messages together."""
    size = 0
    for message in messages:
        words = _array(_pointer(message), (_WORDS,))
        if words[_ERROR] & _ERROR_BITS == 0:
            size += words[_VALUE + 1]
    return size


@jit
def _look(messages: Ints, columns: Ints, answers: Ints) -> tuple[int, int]:
    """Fill columns, with addresses and sizes of what is to be copied.

    Those that are no records are in the last column, by themselves.  Returns how many records
    there are, and how many headers.
    """
    count = others = headers = 0
    answer = answers.ctypes.data
    for message in messages:
        words = _array(_pointer(message), (_WORDS,))
        if words[_ERROR] & _ERROR_BITS != 0:
            columns[_OTHERS, others] = message
            others += 1
            continue
        columns[_OFFSETS, count] = words[_OFFSET]
        columns[_VALUES, count], columns[_VALUE_SIZES, count] = words[_VALUE], words[_VALUE + 1]
        columns[_KEYS, count], columns[_KEY_SIZES, count] = words[_KEY], words[_KEY + 1]
        columns[_STAMPS, count] = _timestamp(message, answer)
        columns[_HEADERS, count] = 0
        if _headers(message, answer) == 0:
            columns[_HEADERS, count] = answers[0]
            headers += _count_headers(answers[0], answer)
        count += 1
    return count, headers


@jit
def _count_headers(list_: int, answer: int) -> int:
    count = 0
    while _header(list_, count, answer, answer + 8, answer + 16) == 0:
        count += 1
    return count


@jit
def _look_at_headers(lists: Ints, columns: Ints, counts: Ints, answers: Ints) -> None:
    """Fill columns with address and size of each name and value; counts: how many each has."""
    answer = answers.ctypes.data
    at = 0
    for row in range(len(lists)):
        count = 0
        while lists[row] and _header(lists[row], count, answer, answer + 8, answer + 16) == 0:
            columns[0, at], columns[1, at] = answers[0], _strlen(answers[0])
            columns[2, at], columns[3, at] = answers[1], answers[2]
            count += 1
            at += 1
        counts[row] = count


@jit
def _gather(places: Ints, sizes: Ints, target: int) -> None:
    """Copy pieces from anywhere, one after the other."""
    for row in range(len(places)):
        if sizes[row]:
            memcpy(target, places[row], sizes[row])
            target += sizes[row]


@jit
def _destroy_all(messages: Ints) -> None:
    for message in messages:
        _destroy(message)
