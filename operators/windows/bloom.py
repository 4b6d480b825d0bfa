"""Tumbling or endless windows in Bloom filters: two bytes a key, and a few false repeats."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.columns.references import NO_REFERENCE
from operators.verdicts import Matches
from operators.windows.bloom_filter import BloomFilter, BloomSize
from operators.windows.bound import Bound
from operators.windows.key_table.batch_repeats import resolve
from operators.windows.store import (
    Decision,
    Renewals,
    bucket_numbers,
    renewing_delta,
    window_is_past,
    window_numbers,
)

# A filter cannot forget a key, so a whole filter is evicted.  With fewer parts more keys go
# at once, with more parts a search must look into more filters.
_PARTS = 8
# A window's first filter is small, and smaller still with more than a few windows: memory
# must depend on keys, not on windows.  Each further filter is larger, up to one part of
# all keys.
_FIRST_KEYS = 4096
_MIN_FIRST_KEYS = 4
_FEW_WINDOWS = 8
_GROWTH = 4
_MAX_GROWTHS = 13  # from _MIN_FIRST_KEYS to _MAX_FILTER_KEYS
_MAX_FILTER_KEYS = 1 << 26


class _Filter(NamedTuple):
    """A filter.  number: a running number from when it was made.  capacity: in keys."""

    number: int
    bits: BloomFilter
    capacity: int


def _part(bound: Bound) -> int:
    """Return the capacity of the largest filter, in keys."""
    return min(-(-bound.max_keys // _PARTS), _MAX_FILTER_KEYS)


def _size(keys: int, bound: Bound, error: float) -> BloomSize:
    """Return the size of a filter: its share of the error is its share of all keys."""
    return BloomSize.of(keys, error * keys / bound.max_keys)


def check_error(bound: Bound, error: float) -> None:
    """Raise ValueError if the store's largest filter would be too large."""
    _size(_part(bound), bound, error)


def _first_keys(windows: int) -> int:
    """Return the capacity of a window's first filter, given the number of windows."""
    keys = _FIRST_KEYS
    while windows > _FEW_WINDOWS and keys > _MIN_FIRST_KEYS:
        keys //= _GROWTH
        windows //= _GROWTH
    return keys


class BloomStore:
    """A list of Bloom filters for each window `floor(t / W)`, the oldest first.

    A record whose bits are all set counts as a repeat.  A repeat always does; of the
    other records at most a share of `error`.  A filter's part of `error` is its part of
    `max_keys`.  So the share holds for one window with all keys, and for many windows
    that share them.  The store does not know originals.

    Evicts whole filters, the oldest first.  With `renew`, a repeat that only filters of
    the older half hold is added to the newest filter, and takes room there.
    """

    def __init__(self, seconds: float, bound: Bound | None = None, error: float = 0.001) -> None:
        """seconds: length, > 0; infinite if the window never ends.  error: in (0, 1)."""
        self._seconds = seconds
        self._bound = bound or Bound()
        self._error = error
        self._windows: dict[float, list[_Filter]] = {}
        self._filters_made = 0
        self._keys = 0
        self.evicted = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self._keys

    def size_bytes(self) -> int:
        """Return how much memory the filters take."""
        return sum(
            filter_.bits.size_bytes for filters in self._windows.values() for filter_ in filters
        )

    @property
    def false_positive_rate(self) -> float:
        """Expected share of unseen keys that count as repeats, in the fullest window."""
        rates = [
            -math.expm1(sum(math.log1p(-each.bits.false_positive_rate) for each in filters))
            for filters in self._windows.values()
        ]
        return max(rates, default=0.0)

    def _room(self, window: float, at_least: int) -> int:
        """Return how many keys a window's newest filter takes; all keys of a record go into one."""
        filters = self._windows.get(window)
        if filters is None or filters[-1].bits.count >= filters[-1].capacity:
            return 0
        room = max(filters[-1].capacity - filters[-1].bits.count, at_least)
        return min(room, self._bound.max_keys - self._keys)

    def _make_room(self, window: float, at_least: int) -> None:
        """Make sure that a window's newest filter has room; evict the oldest filters for it."""
        while self._keys + at_least > self._bound.max_keys:
            self._evict()
        filters = self._windows.setdefault(window, [])
        if not filters or filters[-1].bits.count >= filters[-1].capacity:
            first = max(_first_keys(len(self._windows)), at_least)
            keys = first * _GROWTH ** min(len(filters), _MAX_GROWTHS)
            # It never takes more keys than there is room for before the next eviction.
            keys = min(keys, _part(self._bound), max(self._bound.max_keys - self._keys, first))
            size = _size(keys, self._bound, self._error)
            self._filters_made += 1
            filters.append(_Filter(self._filters_made, BloomFilter(size), keys))

    def _evict(self) -> None:
        """Drop the oldest filter."""
        window = min(self._windows, key=lambda number: self._windows[number][0].number)
        oldest = self._windows[window].pop(0)
        if not self._windows[window]:
            del self._windows[window]
        self._keys -= oldest.bits.count
        self.evicted += oldest.bits.count

    def _find(self, window: float, keys: Hashes) -> Ints:
        """Return which filter of a window has each key: the newest one's place, −1 for none."""
        places = np.full(len(keys), -1, np.int64)
        filters = self._windows.get(window, ())
        left = np.arange(len(keys))
        for place in reversed(range(len(filters))):
            has = filters[place].bits.contains(keys[left])
            places[left[has]] = place
            left = left[~has]
        return places

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        matches, renewed = self._match(hashes, times)
        rows = renewed // hashes.shape[1]
        renewals = [Renewals(renewed, times[rows], references[rows])] if len(rows) else []
        return Decision(matches, renewing_delta(hashes, times, references, matches, renewals))

    def _match(self, hashes: Hashes, times: Floats) -> tuple[Matches, Ints]:
        """Decide records; return also the places in the batch of the keys that they renewed."""
        combinations = hashes.shape[1]
        self._bound.check(combinations)
        matches = Matches(
            np.full(len(times), -1, np.int8), np.full(len(times), NO_REFERENCE, np.int64)
        )
        renewed = []
        windows = window_numbers(times, self._seconds)
        for window in np.unique(windows).tolist():
            rows = np.flatnonzero(windows == window)
            while len(rows):
                done, renewed_places = self._decide_part(window, hashes[rows], rows, matches)
                renewed.append(renewed_places)
                rows = rows[done:]
        return matches, np.concatenate(renewed) if renewed else np.zeros(0, np.int64)

    def _decide_part(
        self, window: float, hashes: Hashes, rows: Ints, matches: Matches
    ) -> tuple[int, Ints]:
        """Decide records of one window until its newest filter is full.

        rows: of the records in the batch.  Returns how many records it decided, and the
        places in the batch of the keys that they renewed.
        """
        count, combinations = hashes.shape[:2]
        room = self._room(window, combinations)
        keys = hashes.reshape(-1, 2)
        filters = self._find(window, keys)
        resolution = resolve(filters.reshape(-1, combinations) >= 0, first_occurrences(keys))
        places = resolution.added
        if self._bound.renew:
            held = (resolution.chosen >= 0) & (resolution.sources < 0)
            chosen = (np.arange(count) * combinations + resolution.chosen)[held]
            chosen = chosen[filters[chosen] < len(self._windows.get(window, ())) // 2]
            chosen = chosen[np.unique(first_occurrences(keys[chosen]))]
            places = np.sort(np.concatenate([places, chosen]))
        if len(places) > room:
            count = int(places[room]) // combinations
            if not count:
                self._make_room(window, combinations)
            places = places[places < count * combinations]
        matches.combination[rows[:count]] = resolution.chosen[:count]
        if len(places):
            self._windows[window][-1].bits.add(keys[places])
            self._keys += len(places)
        renewed = places[resolution.chosen[places // combinations] >= 0]
        return count, rows[renewed // combinations] * combinations + renewed % combinations

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each by itself; add nothing."""
        held = np.zeros(hashes.shape[:2], np.bool_)
        windows = window_numbers(times, self._seconds)
        for window in np.unique(windows).tolist():
            rows = windows == window
            keys = hashes[rows].reshape(-1, 2)
            held[rows] = (self._find(window, keys) >= 0).reshape(-1, hashes.shape[1])
        repeats: Bools = np.logical_or.reduce(held, axis=1)
        return repeats

    def apply(self, delta: Delta) -> None:
        """Add and renew the keys that an earlier `decide` added and renewed."""
        self._match(delta.hashes[:, None], delta.times)

    def expire(self, horizon: float) -> None:
        """Drop the windows before the horizon's window."""
        if np.isinf(self._seconds) or not np.isfinite(horizon):
            return
        first = float(bucket_numbers(np.array([horizon]), self._seconds)[0])
        for window in [window for window in self._windows if window < first]:
            self._keys -= sum(filter_.bits.count for filter_ in self._windows.pop(window))

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether the horizon has left the window of `newest`, and so all before it."""
        return window_is_past(newest, horizon, self._seconds)

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state."""
        return {
            "filters": {
                window: [(number, capacity, bits.dump()) for number, bits, capacity in filters]
                for window, filters in self._windows.items()
            }
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._windows = {
            window: [
                _Filter(number, BloomFilter.load(bits), capacity)
                for number, capacity, bits in filters
            ]
            for window, filters in state["filters"].items()
        }
        loaded = [filter_ for filters in self._windows.values() for filter_ in filters]
        self._filters_made = max((filter_.number for filter_ in loaded), default=0)
        self._keys = sum(filter_.bits.count for filter_ in loaded)
