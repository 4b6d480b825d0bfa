"""Sliding windows: a record is unique if no unique one with its key is closer than W in time."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.windows.bound import Bound
from operators.windows.disk.layout import UNBOUNDED, Entry, KeyLayout, MemoryStore
from operators.windows.key_table.decide_loop import Probes, bucket_salts
from operators.windows.key_table.store import TableStore, salt_keys
from operators.windows.store import bucket_numbers

# With fewer remembered buckets a scan of all keys is not worth its time.
_MIN_STALE_BUCKETS = 64


class SlidingStore(TableStore):
    """Buckets of event time as wide as the window; a record looks into three of them.

    Duplicates do not extend a window: only unique records are in the buckets.  A record
    can match two unique ones, one before it and one after it in time.  Its original is the
    one with the smaller partition and offset, in whatever order they came.  A bucket is
    dropped when its newest key is W or more before the horizon.

    Two unique records with one key are at least W apart, so a bucket holds a key once.
    Only rounding of `t / W` can put two into one bucket.  The second is then stored at the
    next level, and a search looks at all levels.
    """

    def __init__(self, seconds: float, bound: Bound | None = None) -> None:
        """seconds: length W of the window, > 0 and finite."""
        super().__init__(seconds, bound)
        # Whether the keys of a delta may meet others in their bucket.
        self._delta_crowded = False
        self._newest: dict[float, float] = {}
        self._bucket_heap: list[float] = []

    def _probes(self, hashes: Hashes, times: Floats, references: Ints) -> Probes:
        buckets = buckets_to_search(times, self._seconds)
        return Probes(
            np.ascontiguousarray(hashes),
            np.stack([bucket_salts(numbers) for numbers in buckets]),
            np.ascontiguousarray(times),
            np.ascontiguousarray(references),
            self._seconds,
        )

    def _add(self, keys: Hashes, bucket_or_time: Floats, references: Ints, stamps: Ints) -> None:
        self._note_added(bucket_or_time)
        if not self._delta_crowded:
            self._table.add(keys, bucket_or_time, references, stamps)
            return
        numbers = bucket_numbers(bucket_or_time, self._seconds)
        hashes = salt_keys(keys[:, None], numbers)
        level, left = 0, np.arange(len(keys))
        while len(left):
            keys = salt_keys(hashes[left], numbers[left], level)[:, 0]
            fits = (self._table.find(keys) < 0) & (first_occurrences(keys) == np.arange(len(left)))
            rows = left[fits]
            self._table.add(keys[fits], bucket_or_time[rows], references[rows], stamps[rows])
            left = left[~fits]
            level += 1
        self._levels = max(self._levels, level)

    def _note_added(self, bucket_or_time: Floats) -> None:
        """Remember the newest time of each bucket."""
        if len(self._newest) > 2 * len(self._table) + _MIN_STALE_BUCKETS:
            # Eviction has left many buckets without keys.
            held = self._table.held_bucket_or_time()
            self._newest, self._bucket_heap = {}, []
            if len(held):
                self._note_added(held)
        # The order of times is the order of their buckets, too.
        times = np.sort(bucket_or_time)
        numbers, firsts = np.unique(bucket_numbers(times, self._seconds), return_index=True)
        newest = times[np.append(firsts[1:], len(times)) - 1]
        for number, time in zip(numbers.tolist(), newest.tolist(), strict=True):
            if number not in self._newest:
                heapq.heappush(self._bucket_heap, number)
            self._newest[number] = max(self._newest.get(number, time), time)

    def _renewal_times(self, held: Floats, times: Floats) -> Floats:
        del times
        return held

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each by itself; add nothing."""
        near = np.zeros(hashes.shape[:2], np.bool_)
        for level in range(self._levels):
            for numbers in buckets_to_search(times, self._seconds):
                keys = salt_keys(hashes, numbers, level).reshape(-1, 2)
                entries = self._table.find(keys).reshape(near.shape)
                with np.errstate(over="ignore"):
                    distance = np.abs(times[:, None] - self._table.bucket_or_time[entries])
                near |= (entries >= 0) & (distance < self._seconds)
        repeats: Bools = np.logical_or.reduce(near, axis=1)
        return repeats

    def _find_rows(
        self, hashes: Hashes, times: Floats, references: Ints
    ) -> tuple[Hashes, Floats, Ints, int]:
        numbers = bucket_numbers(times, self._seconds)
        entries = np.full(len(times), -1, np.int64)
        self._delta_crowded = self.crowded
        for level in reversed(range(self._levels)):
            keys = salt_keys(hashes[:, None], numbers, level)[:, 0]
            at_level = self._table.find(keys)
            same = (at_level >= 0) & (self._table.bucket_or_time[at_level] == times)
            same &= self._table.references[at_level] == references
            entries[same] = at_level[same]
            self._delta_crowded |= bool(((at_level >= 0) & ~same).any())
        repeats = np.flatnonzero(first_occurrences(keys) != np.arange(len(keys)))
        return keys, times, entries, int(repeats[0]) if len(repeats) else len(times)

    def expire(self, horizon: float) -> None:
        """Drop the buckets that no record at the horizon or after it can match."""
        border = None
        # Rounding is monotonic: if the newest key of a bucket is far enough away now, so
        # are its other keys, for every later record too.
        while self._bucket_heap and horizon - self._newest[self._bucket_heap[0]] >= self._seconds:
            border = self._newest.pop(heapq.heappop(self._bucket_heap))
        if border is not None:
            self._table.drop_before(border, included=True)
            if not len(self._table):
                self._levels = 1
        self._table.sweep()

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether keys up to `newest` are W or more before the horizon."""
        return horizon - newest >= self._seconds

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: columns of the keys held, the oldest first."""
        return {**super().dump(), "levels": self._levels}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        super().load(state)
        self._levels = state["levels"]
        self._newest, self._bucket_heap = {}, []
        if len(state["bucket_or_time"]):
            self._note_added(state["bucket_or_time"])


def buckets_to_search(times: Floats, seconds: float) -> list[Floats]:
    """Return the buckets with times less than `seconds` away, the bucket of each time first.

    Rounding is monotonic, so the buckets of `t − W` and `t + W` bound those of all
    times between.  It can put the two further apart by one, or all three into one.
    """
    with np.errstate(over="ignore"):
        before, after = times - seconds, times + seconds
    here = bucket_numbers(times, seconds)
    first, last = bucket_numbers(before, seconds), bucket_numbers(after, seconds)
    if ((first == here - 1) & (last == here + 1)).all():
        return [here, first, last]
    return [here, first, last, first + 1, last - 1]


class SlidingLayout(KeyLayout):
    """Sliding windows on disk, in buckets as wide as the window."""

    must_read_before_write = True
    skip_lookup_if_in_memory = False

    def memory_store(self) -> MemoryStore:
        """Make an empty store of the same window in memory."""
        return SlidingStore(self.seconds, UNBOUNDED)

    def buckets_to_search(self, times: Floats) -> list[Floats]:
        """Return the buckets with keys that records of these times can match; own bucket first."""
        return buckets_to_search(times, self.seconds)

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Return the entries of a key after one more was written."""
        if entry in entries:
            return entries
        return [*(held for held in entries if not self._is_near(held, entry)), entry]

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted and then added again with this entry."""
        return any(held[2] != entry[2] and self._is_near(held, entry) for held in entries)

    def _is_near(self, held: Entry, entry: Entry) -> bool:
        return abs(held[1] - entry[1]) < self.seconds

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Tell whether the newest key of a bucket is W or more before the horizon."""
        del number
        return horizon - newest >= self.seconds
