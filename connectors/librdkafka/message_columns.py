"""Compiled loops over librdkafka's messages: from a batch of messages to columns of records."""

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from connectors.librdkafka.library import LIBRARY
from operators.batches import Records
from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn
from operators.columns.header_table import Headers
from operators.columns.jit import jit, memcpy

# `rd_kafka_message_t` in words of 8 bytes.
_WORDS: Final = 8
_ERROR, _TOPIC, _PARTITION, _VALUE, _KEY, _OFFSET = 0, 1, 2, 3, 5, 7
# The error and the partition have 4 bytes only.
_LOW_BITS: Final = 0xFFFFFFFF
# A header is a tuple of a string and bytes in Python, about this much beside its text.
_HEADER_BYTES: Final = 150

_COLUMNS: Final = 8
_OFFSETS, _VALUES, _VALUE_SIZES, _KEYS, _KEY_SIZES, _STAMPS, _HEADERS, _OTHERS = range(_COLUMNS)

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


def read_messages(messages: Ints) -> tuple[Records, list[int]]:
    """Copy messages into records; return them, and the addresses of messages that are none.

    messages: addresses of `rd_kafka_message_t`.
    """
    columns = np.empty((_COLUMNS, len(messages)), np.int64)
    count, headers = _fill_columns(messages, columns, _results())
    others = columns[_OTHERS, : len(messages) - count].tolist()
    columns = columns[:, :count]
    records = Records(
        offsets=columns[_OFFSETS].copy(),
        values=_copy_bytes(columns[_VALUES], columns[_VALUE_SIZES]),
        keys=_copy_bytes(columns[_KEYS], columns[_KEY_SIZES]),
        headers=_copy_headers(columns[_HEADERS], headers) if headers else None,
        timestamps=columns[_STAMPS].copy(),
    )
    return records, others


def _copy_bytes(places: Ints, sizes: Ints) -> ByteColumn:
    """Copy values from their addresses; 0 means None."""
    memory = np.empty(int(sizes.sum()), np.uint8)
    _gather(places, sizes, memory.ctypes.data)
    missing = places == 0
    return ByteColumn(memory, sizes.copy(), missing if missing.any() else None)


def _copy_headers(lists: Ints, count: int) -> list[Headers]:
    """Headers of each record, None for a record without any.

    lists: addresses of `rd_kafka_headers_t`.  count: headers of all records together.
    """
    columns = np.empty((4, count), np.int64)
    counts = np.empty(len(lists), np.int64)
    _fill_header_columns(lists, columns, counts, _results())
    names = [
        (name or b"").decode("utf-8", "replace") for name in _copy_bytes(columns[0], columns[1])
    ]
    pairs = list(zip(names, _copy_bytes(columns[2], columns[3]), strict=True))
    ends = counts.cumsum().tolist()
    return [
        pairs[end - own : end] if own else None
        for end, own in zip(ends, counts.tolist(), strict=True)
    ]


def _results() -> Ints:
    """Memory that librdkafka writes results to.

    Compiled code would free an array of its own as soon as only its address is used.
    """
    return np.zeros(3, np.int64)


def _make_pointer(_: object, __: object) -> Any:  # noqa: ANN401 - numba's own
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    pointer: Any = types.CPointer
    return pointer(types.int64)(types.intp), generate


# In compiled code: turns an address into a pointer to words.
_pointer: Any = intrinsic(_make_pointer)
_array: Any = numba.carray  # type: ignore[attr-defined]


def places_of(messages: Ints) -> tuple[Ints, Ints]:
    """Return the address of each message's `rd_kafka_topic_t`, and its partition."""
    topics, partitions = np.empty((2, len(messages)), np.int64)
    _fill_places(messages, topics, partitions)
    return topics, partitions


@jit
def _fill_places(messages: Ints, topics: Ints, partitions: Ints) -> None:
    for row in range(len(messages)):
        words = _array(_pointer(messages[row]), (_WORDS,))
        topics[row], partitions[row] = words[_TOPIC], words[_PARTITION] & _LOW_BITS


def messages_size(messages: Ints) -> int:
    """Bytes of the messages' values, keys and headers together."""
    return _size(messages, _results())


@jit
def _size(messages: Ints, results: Ints) -> int:
    size = 0
    result = results.ctypes.data
    for message in messages:
        words = _array(_pointer(message), (_WORDS,))
        if words[_ERROR] & _LOW_BITS != 0:
            continue
        size += words[_VALUE + 1] + words[_KEY + 1]
        if _headers(message, result) == 0:
            list_, count = results[0], 0
            while _header(list_, count, result, result + 8, result + 16) == 0:
                size += _strlen(results[0]) + results[2] + _HEADER_BYTES
                count += 1
    return size


@jit
def destroy_messages(messages: Ints) -> None:
    """Give messages back to librdkafka."""
    for message in messages:
        _destroy(message)


@jit
def _fill_columns(messages: Ints, columns: Ints, results: Ints) -> tuple[int, int]:
    """Fill columns with numbers, and with addresses and sizes of bytes to copy.

    The last column holds, from its beginning, the messages that are no records.  Returns the
    number of records and of their headers.
    """
    count = others = headers = 0
    result = results.ctypes.data
    for message in messages:
        words = _array(_pointer(message), (_WORDS,))
        if words[_ERROR] & _LOW_BITS != 0:
            columns[_OTHERS, others] = message
            others += 1
            continue
        columns[_OFFSETS, count] = words[_OFFSET]
        columns[_VALUES, count], columns[_VALUE_SIZES, count] = words[_VALUE], words[_VALUE + 1]
        columns[_KEYS, count], columns[_KEY_SIZES, count] = words[_KEY], words[_KEY + 1]
        columns[_STAMPS, count] = _timestamp(message, result)
        columns[_HEADERS, count] = 0
        if _headers(message, result) == 0:
            columns[_HEADERS, count] = results[0]
            headers += _count_headers(results[0], result)
        count += 1
    return count, headers


@jit
def _count_headers(list_: int, result: int) -> int:
    count = 0
    while _header(list_, count, result, result + 8, result + 16) == 0:
        count += 1
    return count


@jit
def _fill_header_columns(lists: Ints, columns: Ints, counts: Ints, results: Ints) -> None:
    """Fill columns with address and size of each name and value; counts: headers per record."""
    result = results.ctypes.data
    at = 0
    for row in range(len(lists)):
        count = 0
        while lists[row] and _header(lists[row], count, result, result + 8, result + 16) == 0:
            columns[0, at], columns[1, at] = results[0], _strlen(results[0])
            columns[2, at], columns[3, at] = results[1], results[2]
            count += 1
            at += 1
        counts[row] = count


@jit
def _gather(places: Ints, sizes: Ints, target: int) -> None:
    """Copy scattered pieces to `target`, one after the other."""
    for row in range(len(places)):
        if sizes[row]:
            memcpy(target, places[row], sizes[row])
            target += sizes[row]
