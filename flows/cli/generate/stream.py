"""Labelled streams of e-commerce events: the records, each with the verdict that it must get.

Pure: no clock, no I/O; equal options give equal bytes.  The labels are right for the
options' window and allowed lateness.  The keys may be `event_id`, the content, or
`user_id` + `event_type` + `data.order_id`.  The construction makes them right:

- Times are whole milliseconds, so that rounding decides nothing at a limit.
- The time of a record that is not late is within the allowed lateness of the largest
  event time before it in its own partition.  So it is late in no order of reading.
- The time of a late record is behind the largest event time of *every* partition so
  far, less the allowed lateness.  With one partition it is certainly late.  With several
  it is late if they are read side by side (`--rate`, or a job that keeps up).
- A repeat follows the record that it repeats in the same partition, and is in the same
  tumbling window.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from flows.cli.generate.corrupt import corrupt
from flows.cli.generate.events import EVENT_TYPES, PHRASES, Event, Writer, typo
from flows.cli.generate.options import LABELS, Labelled, StreamOptions
from operators.columns.arrays import Floats, Ints

# Records that are drawn together.
_CHUNK_RECORDS = 8192
# A repeat chooses one of the last originals; a repeat of an older one would mostly be late.
_RECENT = 16_384
# One original of eight is kept longer, to be repeated when it is late.
_ARCHIVE, _ARCHIVE_EVERY = 4096, 8
# Most repeats are retries: this share comes within 50 records, the rest comes later.
_RETRIES, _RETRY_RECORDS = 0.8, 50
# This share of late records are repeats; the others are new, and up to 10 minutes late.
_LATE_REPEATS, _LATEST_MS = 0.5, 600_000
_MASK_48, _MASK_64 = (1 << 48) - 1, (1 << 64) - 1

_Numbers: TypeAlias = npt.NDArray[np.uint64]


class _Draw(NamedTuple):
    """Random choices for a record: numbers from [0, 1), and ids that no other record has."""

    row: int
    event: int
    order: int
    user: int
    jitter: float
    first: float
    second: float
    third: float
    fourth: float


@dataclass(slots=True)
class _Original:
    """A unique record that may be repeated."""

    event: Event
    record: Labelled


def _mix_64(index: Ints, seed: int) -> _Numbers:
    """A different 64-bit number for each index (a bijection: splitmix64, Steele 2014)."""
    x = index.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 & _MASK_64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix_48(index: Ints, seed: int) -> _Numbers:
    """A different 48-bit number for each index (a bijection: each step can be undone)."""
    mask = np.uint64(_MASK_48)
    x = (index.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4B & _MASK_48)) & mask
    x = (x * np.uint64(0x5851F42D4C95)) & mask
    x = ((x ^ (x >> np.uint64(24))) * np.uint64(0x2545F4914F6D)) & mask
    return x ^ (x >> np.uint64(23))


class _Stream:
    """The state of a stream: what the next labels need to know of the records so far."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._write = Writer(options.time_format)
        self._lateness = round(options.allowed_lateness_seconds * 1000)
        self._window = round(options.window_seconds * 1000)
        self._jitter = round(options.out_of_order_seconds * 1000)
        self._recent: deque[_Original] = deque(maxlen=_RECENT)
        self._archive: deque[_Original] = deque(maxlen=_ARCHIVE)
        # Largest event time of a valid record so far, by partition; −1: none yet.
        self._max_event_times = [-1] * options.partitions

    def make(self, label: str, draw: _Draw) -> Labelled:
        """Make the next record.  One that cannot have the label is unique instead."""
        now = round((self._options.start + draw.row * self._options.step_seconds) * 1000)
        time = max(now - int(draw.jitter * (self._jitter + 1)), 0)
        if label == "invalid":
            return self._invalid(draw, time)
        if label == "late":
            return self._late(draw) or self._unique(draw, time)
        if label != "unique" and (original := self._choose(draw, now)):
            if label == "duplicate":
                return _exact_repeat(original, draw.row, label)
            return self._repeat(label, draw, time, original)
        return self._unique(draw, time)

    def _unique(self, draw: _Draw, time: int) -> Labelled:
        event = _new_event(draw, time)
        record = self._record("unique", draw.row, event)
        original = _Original(event, record)
        self._recent.append(original)
        if draw.row % _ARCHIVE_EVERY == 0:
            self._archive.append(original)
        self._advance(record.partition, time)
        return record

    def _record(self, label: str, index: int, event: Event) -> Labelled:
        options = self._options
        key = None
        if options.record_key != "none":
            key = (event.user if options.record_key == "user" else event.id).encode()
        # The user decides whatever the key is, so that repeats are in their original's partition.
        partition = zlib.crc32(event.user.encode()) % options.partitions
        value = self._write(event).encode()
        return Labelled(index, value, key, label, None, event.id, partition)

    def _advance(self, partition: int, time: int) -> None:
        self._max_event_times[partition] = max(self._max_event_times[partition], time)

    def _choose(self, draw: _Draw, now: int) -> _Original | None:
        """Choose a unique record whose time is not late in any order of reading."""
        recent = self._recent
        if not recent:
            return None
        span = _RETRY_RECORDS if draw.first < _RETRIES else len(recent)
        back = 1 + int(draw.second * min(span, len(recent)))
        for original in (recent[-back], recent[-1]):
            # Not even equal, so that rounding to doubles changes nothing.
            if original.event.time > now - self._lateness:
                return original
        return None

    def _repeat(self, label: str, draw: _Draw, time: int, original: _Original) -> Labelled:
        """Repeat a part of a record under another event id."""
        first = original.event
        # Into the original's window.  If that moves the time back, it still is not before the
        # original's, so it is not late.
        begin = first.time // self._window * self._window
        time = min(max(time, begin), begin + self._window - 1)
        price, text = first.price, first.text
        if label == "same-other-key":
            other = _new_event(draw, time)
            price, text = other.price, other.text
            if text == first.text:
                text += " again"
        elif label == "near":
            text = typo(text, draw.third)
        event = Event(_event_id(draw), first.user, first.type, time, first.order, price, text)
        record = self._record(label, draw.row, event)
        record.repeats = original.record.index
        self._advance(record.partition, time)
        return record

    def _late(self, draw: _Draw) -> Labelled | None:
        """Make a late record: a new one, or the repeat of an old one if one is old enough."""
        lowest = min(self._max_event_times)
        latest = lowest - self._lateness - 1
        if lowest < 0 or latest < 0:
            return None
        if draw.third < _LATE_REPEATS and self._archive and self._archive[0].event.time <= latest:
            return _exact_repeat(self._archive.popleft(), draw.row, "late")
        time = max(latest - int(draw.jitter * _LATEST_MS), 0)
        return self._record("late", draw.row, _new_event(draw, time))

    def _invalid(self, draw: _Draw, time: int) -> Labelled:
        event = _new_event(draw, time)
        record = self._record("invalid", draw.row, event)
        record.value, record.reason = corrupt(
            self._write, event, draw.first, draw.second, tombstones=self._options.tombstones
        )
        return record


def _event_id(draw: _Draw) -> str:
    return f"{draw.event:016x}"


def _new_event(draw: _Draw, time: int) -> Event:
    """Make an event with new ids."""
    return Event(
        _event_id(draw),
        f"u-{draw.user:06d}",
        EVENT_TYPES[int(draw.first * len(EVENT_TYPES))],
        time,
        f"{draw.order:012x}",
        f"{int(draw.second * 500)}.{int(draw.third * 100):02d}",
        PHRASES[int(draw.fourth * len(PHRASES))],
    )


def _exact_repeat(original: _Original, index: int, label: str) -> Labelled:
    """Repeat a record byte for byte."""
    first = original.record
    return Labelled(
        index, first.value, first.key, label, first.index, first.event_id, first.partition
    )


def _user_shares(options: StreamOptions) -> Floats:
    """Cumulative shares of the users, the busiest first (Zipf)."""
    weights = np.arange(1, options.users + 1, dtype=np.float64) ** -options.skew
    cumulative: Floats = np.cumsum(weights)
    cumulative /= cumulative[-1]
    return cumulative


def generate(options: StreamOptions) -> Iterator[Labelled]:
    """Generate a labelled stream.

    Yields `options.records` records in stream order, about 100,000 a second.
    Raises SettingsError, before the first record, for options that cannot be met.
    """
    options.check()
    stream = _Stream(options)
    random = np.random.Generator(np.random.PCG64(options.seed))
    user_shares = _user_shares(options)
    shares = np.cumsum(options.shares)
    # A number beyond the last share gives a unique record.
    labels = (*LABELS[1:], LABELS[0])
    for begin in range(0, options.records, _CHUNK_RECORDS):
        # The last chunk is drawn whole and then cut: a longer stream begins with the same records.
        index = np.arange(begin, begin + _CHUNK_RECORDS)
        numbers = random.random((7, _CHUNK_RECORDS))
        chosen = np.searchsorted(shares, numbers[0], side="right").tolist()
        users = np.minimum(np.searchsorted(user_shares, numbers[1]), options.users - 1)
        columns = (index, _mix_64(index, options.seed), _mix_48(index, options.seed), users)
        rows = zip(*(column.tolist() for column in (*columns, *numbers[2:])), strict=True)
        left = options.records - begin
        for label, row in zip(chosen[:left], rows, strict=False):
            yield stream.make(labels[label], _Draw._make(row))
