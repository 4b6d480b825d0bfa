"""Columns of what a consumer reads."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
from confluent_kafka import Message

from operators.batches import Headers, Ints, Records


class MessageColumns:
    """Columns of what is read, filled some messages at a time."""

    def __init__(self) -> None:
        """Begin with none.  `size_bytes` is that of the values."""
        self.size_bytes = 0
        self._offsets: list[Ints] = []
        self._values: list[bytes | None] = []
        self._keys: list[bytes | None] = []
        self._headers: list[Headers] = []
        self._timestamps: list[Ints] = []
        self._sizes: list[Ints] = []

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._values)

    def add(self, messages: list[Message]) -> None:
        """Add messages of one partition, in the order of their offsets."""
        values = list(map(Message.value, messages))
        sizes = _sizes(values)
        self.size_bytes += int(sizes.sum())
        self._sizes.append(sizes)
        self._values += values
        self._keys += map(Message.key, messages)
        self._headers += map(Message.headers, messages)  # type: ignore[arg-type]
        # A timestamp is (type, milliseconds).
        stamps = map(itemgetter(1), map(Message.timestamp, messages))
        self._timestamps.append(np.fromiter(stamps, np.int64, len(messages)))
        self._offsets.append(_offsets(messages))

    def records(self) -> Records:
        """Return what was added."""
        return Records(
            offsets=np.concatenate(self._offsets),
            values=self._values,
            keys=self._keys,
            headers=self._headers if any(self._headers) else None,
            timestamps=np.concatenate(self._timestamps),
            sizes=np.concatenate(self._sizes),
        )


def _sizes(values: list[bytes | None]) -> Ints:
    try:
        return np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    except TypeError:  # a record without a value
        return np.array([len(value or b"") for value in values], np.int64)


def _offsets(messages: list[Message]) -> Ints:
    """Offsets of messages; they ascend, and mostly none is left out."""
    count = len(messages)
    if count:
        first = messages[0].offset() or 0
        if messages[-1].offset() == first + count - 1:
            return np.arange(first, first + count, dtype=np.int64)
    return np.fromiter(map(Message.offset, messages), np.int64, count)
