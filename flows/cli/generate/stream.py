"""Labelled streams of e-commerce events: the records, and what the job must say of them.

Pure: no clock, no I/O; equal options give equal bytes.  Labels are true by
construction, under the options' window and allowed lateness and keys that are
`event_id`, the content, or `user_id` + `event_type` + `data.order_id`:

- Times are whole milliseconds, so that no rounding decides at a border.
- A record that is not late lies within the allowed lateness of the largest event
  time before it in its own partition, so it is late under no reading order.
- A late one lies behind the largest event time of *every* partition so far, less
  the allowed lateness.  With one partition it is late for certain; with several
  it is if they are read side by side (`--rate`, or a job that keeps up).
- A repeat goes to the partition of the record that it repeats, after it, and lies
  in the same tumbling window.
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

_CHUNK = 8192
# Originals that a repeat can choose from; older ones would be late anyway, mostly.
_RECENT = 16_384
# Some old originals are kept longer, to be replayed when they are late.
_ARCHIVE, _ARCHIVE_EVERY = 4096, 8
# Most repeats are retries: this share within so many records, the rest replays later.
_RETRIES, _RETRY_RECORDS = 0.8, 50
# This share of late records are replays; the others are new, up to so late.
_REPLAYS, _LATEST_MS = 0.5, 600_000
_MASK_48, _MASK_64 = (1 << 48) - 1, (1 << 64) - 1

_Numbers: TypeAlias = npt.NDArray[np.uint64]


class _Draw(NamedTuple):
    """What chance gives a record: numbers from [0, 1), and ids that no other record has."""

    row: int
    event: int
    order: int
    user: int
    jitter: float
    one: float
    two: float
    three: float
    four: float


@dataclass(slots=True)
class _Original:
    """A unique record that may be repeated."""

    event: Event
    record: Labelled


def _mix_64(index: Ints, seed: int) -> _Numbers:
    """One different 64-bit number for each index (a bijection: splitmix64, Steele 2014)."""
    x = index.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 & _MASK_64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix_48(index: Ints, seed: int) -> _Numbers:
    """One different 48-bit number for each index: odd factors and shifts, undone one by one."""
    mask = np.uint64(_MASK_48)
    x = (index.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4B & _MASK_48)) & mask
    x = (x * np.uint64(0x5851F42D4C95)) & mask
    x = ((x ^ (x >> np.uint64(24))) * np.uint64(0x2545F4914F6D)) & mask
    return x ^ (x >> np.uint64(23))


class _Stream:
    """The state of one stream: what has been generated so far, as far as labels need it."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._write = Writer(options.time_format)
        self._lateness = round(options.allowed_lateness_seconds * 1000)
        self._window = round(options.window_seconds * 1000)
        self._jitter = round(options.out_of_order_seconds * 1000)
        self._recent: deque[_Original] = deque(maxlen=_RECENT)
        self._archive: deque[_Original] = deque(maxlen=_ARCHIVE)
        # Largest event time of a valid record of each partition so far; −1: none yet.
        self._largest = [-1] * options.partitions

    def make(self, label: str, draw: _Draw) -> Labelled:
        """Make the next record; one that cannot be what `label` says is unique."""
        now = round((self._options.start + draw.row * self._options.step_seconds) * 1000)
        time = max(now - int(draw.jitter * (self._jitter + 1)), 0)
        if label == "invalid":
            return self._invalid(draw, time)
        if label == "late":
            return self._late(draw) or self._unique(draw, time)
        if label != "unique" and (original := self._choose(draw, now)):
            if label == "duplicate":
                return _again(original, draw.row, label)
            return self._repeat(label, draw, time, original)
        return self._unique(draw, time)

    def _unique(self, draw: _Draw, time: int) -> Labelled:
        event = _new_event(draw, time)
        record = self._record("unique", draw.row, event)
        original = _Original(event, record)
        self._recent.append(original)
        if draw.row % _ARCHIVE_EVERY == 0:
            self._archive.append(original)
        self._see(record.partition, time)
        return record

    def _record(self, label: str, index: int, event: Event) -> Labelled:
        options = self._options
        key = None
        if options.record_key != "none":
            key = (event.user if options.record_key == "user" else event.id).encode()
        # By the user whatever the key, so that a repeat follows what it repeats.
        partition = zlib.crc32(event.user.encode()) % options.partitions
        value = self._write(event).encode()
        return Labelled(index, value, key, label, None, event.id, partition)

    def _see(self, partition: int, time: int) -> None:
        self._largest[partition] = max(self._largest[partition], time)

    def _choose(self, draw: _Draw, now: int) -> _Original | None:
        """Choose a unique record whose time is not late for any reader."""
        recent = self._recent
        if not recent:
            return None
        span = _RETRY_RECORDS if draw.one < _RETRIES else len(recent)
        back = 1 + int(draw.two * min(span, len(recent)))
        for original in (recent[-back], recent[-1]):
            # More than equal, so that rounding to doubles cannot matter.
            if original.event.time > now - self._lateness:
                return original
        return None

    def _repeat(self, label: str, draw: _Draw, time: int, original: _Original) -> Labelled:
        """Repeat something of a record under another event id."""
        first = original.event
        # In the original's window: its end is later than the original, so this is not late either.
        begin = first.time // self._window * self._window
        time = min(max(time, begin), begin + self._window - 1)
        price, text = first.price, first.text
        if label == "same-other-key":
            other = _new_event(draw, time)
            price, text = other.price, other.text
            if text == first.text:
                text += " again"
        elif label == "near":
            text = typo(text, draw.three)
        event = Event(_event_id(draw), first.user, first.type, time, first.order, price, text)
        record = self._record(label, draw.row, event)
        record.of = original.record.index
        self._see(record.partition, time)
        return record

    def _late(self, draw: _Draw) -> Labelled | None:
        """Make a late record: new, or the replay of an old one if one is old enough."""
        lowest = min(self._largest)
        latest = lowest - self._lateness - 1
        if lowest < 0 or latest < 0:
            return None
        if draw.three < _REPLAYS and self._archive and self._archive[0].event.time <= latest:
            return _again(self._archive.popleft(), draw.row, "late")
        time = max(latest - int(draw.jitter * _LATEST_MS), 0)
        return self._record("late", draw.row, _new_event(draw, time))

    def _invalid(self, draw: _Draw, time: int) -> Labelled:
        event = _new_event(draw, time)
        record = self._record("invalid", draw.row, event)
        record.value, record.reason = corrupt(
            self._write, event, draw.one, draw.two, tombstones=self._options.tombstones
        )
        return record


def _event_id(draw: _Draw) -> str:
    return f"{draw.event:016x}"


def _new_event(draw: _Draw, time: int) -> Event:
    """Make an event that has not been there before."""
    return Event(
        _event_id(draw),
        f"u-{draw.user:06d}",
        EVENT_TYPES[int(draw.one * len(EVENT_TYPES))],
        time,
        f"{draw.order:012x}",
        f"{int(draw.two * 500)}.{int(draw.three * 100):02d}",
        PHRASES[int(draw.four * len(PHRASES))],
    )


def _again(original: _Original, index: int, label: str) -> Labelled:
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
    # What lies beyond the last share is unique.
    labels = (*LABELS[1:], LABELS[0])
    for begin in range(0, options.records, _CHUNK):
        # Whole chunks are drawn even if the last one is cut: more records, the same beginning.
        index = np.arange(begin, begin + _CHUNK)
        numbers = random.random((7, _CHUNK))
        chosen = np.searchsorted(shares, numbers[0], side="right").tolist()
        users = np.minimum(np.searchsorted(user_shares, numbers[1]), options.users - 1)
        columns = (index, _mix_64(index, options.seed), _mix_48(index, options.seed), users)
        rows = zip(*(column.tolist() for column in (*columns, *numbers[2:])), strict=True)
        wanted = options.records - begin
        for label, row in zip(chosen[:wanted], rows, strict=False):
            yield stream.make(labels[label], _Draw._make(row))
