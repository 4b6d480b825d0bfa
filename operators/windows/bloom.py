"""Tumbling windows, or for ever, held in Bloom filters: two bytes a key, a few false repeats."""

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
from operators.windows.key_table.batch_repeats import resolve
from operators.windows.key_table.table import Bound
from operators.windows.store import Decision, Renewals, bucket_numbers, renewing_delta

# A filter cannot forget a key, so a whole one is evicted: the larger the part of all
# keys in it, the more go at once; the smaller, the more filters must be looked into.
_PARTS = 8
# A window's first filter is small; with more windows than a few it is smaller still, since
# memory has to go by keys and not by windows.  Each further one is larger, up to one part of
# all keys.
_FIRST_KEYS = 4096
_FEWEST_KEYS = 4
_FEW_WINDOWS = 8
_GROWTH = 4
_LARGEST_AFTER = 13  # from the fewest keys to `_MAX_FILTER_KEYS`
_MAX_FILTER_KEYS = 1 << 26


class _Aged(NamedTuple):
    """A filter, and when it was made: a running number."""

    born: int
    filter: BloomFilter
    keys: int


def _part(bound: Bound) -> int:
    """Keys of the largest filter."""
    return min(-(-bound.max_keys // _PARTS), _MAX_FILTER_KEYS)


def _size(keys: int, bound: Bound, error: float) -> BloomSize:
    """Size of a filter, with that part of the error which its keys are of all."""
    return BloomSize.of(keys, error * keys / bound.max_keys)


def check_error(bound: Bound, error: float) -> None:
    """Raise ValueError if no filter can be as large as a store's largest one has to be."""
    _size(_part(bound), bound, error)


def _first_keys(windows: int) -> int:
    """Keys of the first filter of the last of some windows."""
    keys = _FIRST_KEYS
    while windows > _FEW_WINDOWS and keys > _FEWEST_KEYS:
        keys //= _GROWTH
        windows //= _GROWTH
    return keys


class BloomStore:
    """A row of Bloom filters for each window `floor(t / W)`.

    A record all of whose bits are set counts as a repeat: certain for a repeat,
    wrong for one in 1 / `error` of the others at most.  A filter gets that part of
    `error` which its keys are of `max_keys`, so a window that has all of the keys
    keeps to it, and so do many windows that share them.  Says no original.

    Evicts whole filters, the oldest first.  With `renew`, a repeat that is only in
    filters of the older half is added to the newest, and takes room there.
    """

    def __init__(self, seconds: float, bound: Bound | None = None, error: float = 0.001) -> None:
        """seconds: length of the window, > 0; infinite for ever.  error: in (0, 1)."""
        self._seconds = seconds
        self._bound = bound or Bound()
        self._error = error
        self._windows: dict[float, list[_Aged]] = {}
        self._born = 0
        self._keys = 0
        self.evicted = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self._keys

    def size_bytes(self) -> int:
        """Return how much memory the filters take."""
        return sum(one.filter.size_bytes for row in self._windows.values() for one in row)

    @property
    def false_positive_rate(self) -> float:
        """Expected share of unseen keys that count as repeats, in the fullest window."""
        rates = [
            -math.expm1(sum(math.log1p(-one.filter.false_positive_rate) for one in list(row)))
            for row in list(self._windows.values())
        ]
        return max(rates, default=0.0)

    def _window(self, times: Floats) -> Floats:
        return (
            np.zeros(len(times))
            if np.isinf(self._seconds)
            else bucket_numbers(times, self._seconds)
        )

    def _room(self, window: float, at_least: int) -> int:
        """How many keys a window's newest filter takes; a record's keys go into one."""
        row = self._windows.get(window)
        if row is None or row[-1].filter.count >= row[-1].keys:
            return 0
        room = max(row[-1].keys - row[-1].filter.count, at_least)
        return min(room, self._bound.max_keys - self._keys)

    def _make_room(self, window: float, at_least: int) -> None:
        """Have a filter that takes a window's next keys, evicting the oldest for it."""
        while self._keys + at_least > self._bound.max_keys:
            self._evict()
        row = self._windows.setdefault(window, [])
        if not row or row[-1].filter.count >= row[-1].keys:
            first = max(_first_keys(len(self._windows)), at_least)
            keys = first * _GROWTH ** min(len(row), _LARGEST_AFTER)
            # Nor more than will go into it before the oldest one is evicted.
            keys = min(keys, _part(self._bound), max(self._bound.max_keys - self._keys, first))
            size = _size(keys, self._bound, self._error)
            self._born += 1
            row.append(_Aged(self._born, BloomFilter(size), keys))

    def _evict(self) -> None:
        """Drop the oldest filter."""
        window = min(self._windows, key=lambda number: self._windows[number][0].born)
        gone = self._windows[window].pop(0)
        if not self._windows[window]:
            del self._windows[window]
        self._keys -= gone.filter.count
        self.evicted += gone.filter.count

    def _ages(self, window: float, keys: Hashes) -> Ints:
        """How new the newest filter with each key is: 0 the oldest of the row, −1 for none."""
        ages = np.full(len(keys), -1, np.int64)
        row = self._windows.get(window, ())
        left = np.arange(len(keys))
        for age in reversed(range(len(row))):
            has = row[age].filter.contains(keys[left])
            ages[left[has]] = age
            left = left[~has]
        return ages

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        matches, renewed = self._match(hashes, times)
        rows = renewed // hashes.shape[1]
        renewals = [Renewals(renewed, times[rows], references[rows])] if len(rows) else []
        return Decision(matches, renewing_delta(hashes, times, references, matches, renewals))

    def _match(self, hashes: Hashes, times: Floats) -> tuple[Matches, Ints]:
        """Decide records; return the places in the batch of the keys that they renewed, too."""
        combinations = hashes.shape[1]
        self._bound.check(combinations)
        matches = Matches(
            np.full(len(times), -1, np.int8), np.full(len(times), NO_REFERENCE, np.int64)
        )
        renewed = []
        windows = self._window(times)
        for window in np.unique(windows).tolist():
            rows = np.flatnonzero(windows == window)
            while len(rows):
                done, again = self._decide_some(window, hashes[rows], rows, matches)
                renewed.append(again)
                rows = rows[done:]
        return matches, np.concatenate(renewed) if renewed else np.zeros(0, np.int64)

    def _decide_some(
        self, window: float, hashes: Hashes, rows: Ints, matches: Matches
    ) -> tuple[int, Ints]:
        """Decide records of one window until its newest filter is full.

        rows: of the records in the batch.  Returns how many were decided, and the
        places in the batch of the keys that they renewed.
        """
        count, combinations = hashes.shape[:2]
        room = self._room(window, combinations)
        keys = hashes.reshape(-1, 2)
        ages = self._ages(window, keys)
        settled = resolve(ages.reshape(-1, combinations) >= 0, first_occurrences(keys))
        places = settled.added
        if self._bound.renew:
            old = (settled.chosen >= 0) & (settled.sources < 0)
            chosen = (np.arange(count) * combinations + settled.chosen)[old]
            chosen = chosen[ages[chosen] < len(self._windows.get(window, ())) // 2]
            chosen = chosen[np.unique(first_occurrences(keys[chosen]))]
            places = np.sort(np.concatenate([places, chosen]))
        if len(places) > room:
            count = int(places[room]) // combinations
            if not count:
                self._make_room(window, combinations)
            places = places[places < count * combinations]
        matches.combination[rows[:count]] = settled.chosen[:count]
        if len(places):
            self._windows[window][-1].filter.add(keys[places])
            self._keys += len(places)
        again = places[settled.chosen[places // combinations] >= 0]
        return count, rows[again // combinations] * combinations + again % combinations

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        found = np.zeros(hashes.shape[:2], np.bool_)
        windows = self._window(times)
        for window in np.unique(windows).tolist():
            mine = windows == window
            keys = hashes[mine].reshape(-1, 2)
            found[mine] = (self._ages(window, keys) >= 0).reshape(-1, hashes.shape[1])
        repeats: Bools = np.logical_or.reduce(found, axis=1)
        return repeats

    def apply(self, delta: Delta) -> None:
        """Add and renew what an earlier `decide` did."""
        self._match(delta.hashes[:, None], delta.times)

    def expire(self, horizon: float) -> None:
        """Drop the windows that lie before the one of the horizon."""
        if np.isinf(self._seconds) or not np.isfinite(horizon):
            return
        first = float(bucket_numbers(np.array([horizon]), self._seconds)[0])
        for window in [window for window in self._windows if window < first]:
            self._keys -= sum(one.filter.count for one in self._windows.pop(window))

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether the windows up to that of `newest` have been left by the horizon."""
        if np.isinf(self._seconds) or not np.isfinite(horizon):
            return False
        return bool(np.floor(newest / self._seconds) < np.floor(horizon / self._seconds))

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state."""
        return {
            "filters": {
                window: [(one.born, one.keys, one.filter.dump()) for one in row]
                for window, row in self._windows.items()
            }
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._windows = {
            window: [_Aged(born, BloomFilter.load(dumped), keys) for born, keys, dumped in row]
            for window, row in state["filters"].items()
        }
        filters = [one for row in self._windows.values() for one in row]
        self._born = max((one.born for one in filters), default=0)
        self._keys = sum(one.filter.count for one in filters)
