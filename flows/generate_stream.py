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

import numpy as np

from flows.generate_events import EVENT_TYPES, PHRASES, Writer, typo
from flows.generate_invalid import spoil
from flows.generate_options import LABELS, Labelled, StreamOptions

_CHUNK = 8192
# Originals that a repeat can choose from; older ones would be late anyway, mostly.
_RECENT = 16_384
_ARCHIVE = 4096
_ARCHIVE_EVERY = 8
# Most repeats are retries: this share within so many records, the rest replays later.
_RETRIES, _RETRY_RECORDS = 0.8, 50
_LATEST_MS = 600_000
_MASK_48 = (1 << 48) - 1


@dataclass(slots=True)
class _Original:
    """A unique record that may be repeated."""

    index: int
    time: int
    user: str
    kind: str
    order: str
    price: str
    text: str
    record: Labelled


def _mix_64(index: np.ndarray, seed: int) -> list[int]:
    """One different 64-bit number for each index (a bijection: splitmix64, Steele 2014)."""
    x = index.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: list[int] = (x ^ (x >> np.uint64(31))).tolist()
    return mixed


def _mix_48(index: np.ndarray, seed: int) -> list[int]:
    """One different 48-bit number for each index: odd factors and shifts undo one by one."""
    mask = np.uint64(_MASK_48)
    x = index.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A & _MASK_48)
    x = (x * np.uint64(0x5851F42D4C95)) & mask
    x = ((x ^ (x >> np.uint64(24))) * np.uint64(0x2545F4914F6D)) & mask
    mixed: list[int] = (x ^ (x >> np.uint64(23))).tolist()
    return mixed


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

    def make(self, index: int, label: str, draw: tuple[float, ...], ids: tuple[int, ...]) -> Labelled:
        """Make the next record.

        draw: five numbers from [0, 1).  ids: event, order and user.
        """
        now = round((self._options.start + index * self._options.step_seconds) * 1000)
        event_id = f"{ids[0]:016x}"
        time = max(now - int(draw[0] * (self._jitter + 1)), 0)
        if label == "late" and (record := self._late(index, event_id, draw, ids)):
            return record
        if label == "invalid":
            return self._invalid(index, event_id, time, draw, ids)
        if label not in {"unique", "late"} and (original := self._choose(now, draw)):
            record = self._repeat(index, label, event_id, time, original, draw)
            return record
        return self._unique(index, event_id, time, draw, ids)

    def _unique(
        self, index: int, event_id: str, time: int, draw: tuple[float, ...], ids: tuple[int, ...]
    ) -> Labelled:
        original = self._fresh(index, "unique", event_id, time, draw, ids)
        self._recent.append(original)
        if index % _ARCHIVE_EVERY == 0:
            self._archive.append(original)
        partition = original.record.partition
        self._largest[partition] = max(self._largest[partition], time)
        return original.record

    def _fresh(
        self,
        index: int,
        label: str,
        event_id: str,
        time: int,
        draw: tuple[float, ...],
        ids: tuple[int, ...],
    ) -> _Original:
        """Make an event that has not been there before."""
        user = f"u-{ids[2]:07d}"
        kind = EVENT_TYPES[int(draw[1] * len(EVENT_TYPES))]
        order = f"{ids[1]:012x}"
        price = f"{int(draw[2] * 500)}.{int(draw[3] * 100):02d}"
        text = PHRASES[int(draw[4] * len(PHRASES))]
        value = self._write.event(event_id, user, kind, time, order, price, text)
        record = self._record(index, label, event_id, user, value.encode())
        return _Original(index, time, user, kind, order, price, text, record)

    def _record(
        self, index: int, label: str, event_id: str, user: str, value: bytes | None
    ) -> Labelled:
        options = self._options
        key = None
        if options.record_key != "none":
            key = (user if options.record_key == "user" else event_id).encode()
        # By the user whatever the key, so that a repeat follows what it repeats.
        partition = zlib.crc32(user.encode()) % options.partitions if options.partitions > 1 else 0
        return Labelled(index, value, key, label, None, event_id, partition)

    def _choose(self, now: int, draw: tuple[float, ...]) -> _Original | None:
        """Choose a unique record whose time is not late for any reader."""
        recent = self._recent
        if not recent:
            return None
        span = _RETRY_RECORDS if draw[1] < _RETRIES else len(recent)
        back = 1 + int(draw[2] * min(span, len(recent)))
        for original in (recent[-back], recent[-1]):
            # One millisecond of room, so that rounding to doubles cannot matter.
            if original.time > now - self._lateness:
                return original
        return None

    def _repeat(
        self,
        index: int,
        label: str,
        event_id: str,
        time: int,
        original: _Original,
        draw: tuple[float, ...],
    ) -> Labelled:
        first = original.record
        if label == "duplicate":
            return Labelled(
                index,
                first.value,
                first.key,
                label,
                original.index,
                first.event_id,
                first.partition,
            )
        # In the original's window: its end is later than its time, so this is not late either.
        begin = original.time // self._window * self._window
        time = min(max(time, begin), begin + self._window - 1)
        price, text = original.price, original.text
        if label == "same-other-key":
            price = f"{int(draw[3] * 500)}.{int(draw[4] * 100):02d}"
            text = PHRASES[int(draw[4] * len(PHRASES))]
            if (price, text) == (original.price, original.text):
                text += " again"
        elif label == "near":
            text = typo(text, draw[3])
        value = self._write.event(
            event_id, original.user, original.kind, time, original.order, price, text
        )
        record = self._record(index, label, event_id, original.user, value.encode())
        record.of = original.index
        self._largest[record.partition] = max(self._largest[record.partition], time)
        return record

    def _late(
        self, index: int, event_id: str, draw: tuple[float, ...], ids: tuple[int, ...]
    ) -> Labelled | None:
        """Make a record that is late: half of them replays of old ones, if there are any."""
        lowest = min(self._largest)
        latest = lowest - self._lateness - 1
        if lowest < 0 or latest < 0:
            return None
        if draw[1] < 0.5 and self._archive and self._archive[0].time <= latest:  # noqa: PLR2004 - half
            old = self._archive.popleft()
            first = old.record
            return Labelled(
                index, first.value, first.key, "late", old.index, first.event_id, first.partition
            )
        time = max(latest - int(draw[0] * _LATEST_MS), 0)
        return self._fresh(index, "late", event_id, time, draw, ids).record

    def _invalid(
        self, index: int, event_id: str, time: int, draw: tuple[float, ...], ids: tuple[int, ...]
    ) -> Labelled:
        good = self._fresh(index, "invalid", event_id, time, draw, ids)
        record = good.record
        record.value, record.reason = spoil(
            self._write, good.record.value or b"", draw, tombstones=self._options.tombstones
        )
        return record


def _user_shares(options: StreamOptions) -> np.ndarray:
    """Cumulative shares of the users, the busiest first (Zipf)."""
    weights = np.arange(1, options.users + 1, dtype=np.float64) ** -options.skew
    cumulative: np.ndarray = np.cumsum(weights)
    return cumulative / cumulative[-1]


def generate(options: StreamOptions) -> Iterator[Labelled]:
    """Generate a labelled stream.

    Yields `options.records` records in stream order; about 10 µs each at most.
    Raises SettingsError, before the first record, for options that cannot be met.
    """
    options.check()
    stream = _Stream(options)
    random = np.random.Generator(np.random.PCG64(options.seed))
    user_shares = _user_shares(options)
    shares = np.cumsum(options.shares)
    # Draws beyond the last share are unique: the label before the first.
    labels = (*LABELS[1:], LABELS[0])
    for begin in range(0, options.records, _CHUNK):
        indexes = np.arange(begin, min(begin + _CHUNK, options.records))
        numbers = random.random((7, _CHUNK))
        chosen = np.searchsorted(shares, numbers[0], side="right").tolist()
        users = np.minimum(np.searchsorted(user_shares, numbers[1]), options.users - 1).tolist()
        draws = zip(*numbers[2:].tolist(), strict=True)
        ids = zip(_mix_64(indexes, options.seed), _mix_48(indexes, options.seed), users)  # noqa: B905 - the last chunk is shorter
        for index, label, draw, three in zip(indexes.tolist(), chosen, draws, ids):  # noqa: B905
            yield stream.make(index, labels[label], draw, three)
