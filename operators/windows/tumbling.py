"""Tumbling windows, and the window that lasts for ever."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import NO_REFERENCE, Delta, Matches
from operators.windows.store import key_bytes, key_rows, stretches, unique_delta

_Bucket = dict[bytes, int]
# Measured with 100,000 to 340,000 keys: what Python's objects for one take.
_BYTES_A_KEY = 125


def _rows_by_window(windows: Floats) -> list[tuple[float, Ints]]:
    """Windows with their rows, in order: a batch of a backfill may hold thousands."""
    if not len(windows):
        return []
    if (windows == windows[0]).all():
        return [(float(windows[0]), np.arange(len(windows)))]
    order = np.argsort(windows, kind="stable")
    found, firsts = np.unique(windows[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, firsts[1:]), strict=True))


class TumblingStore:
    """One table of keys for each window `floor(t / W)`; a key is unique once in each.

    A window is dropped whole when the horizon has left it: from then on every
    record that belongs to it is late.  With an infinite length there is one
    window, and nothing is ever dropped.
    """

    def __init__(self, seconds: float) -> None:
        """seconds: length of the window, > 0; infinite for ever."""
        self._seconds = seconds
        self._buckets: dict[float, _Bucket] = {}
        self._order: list[float] = []
        self._keys = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self._keys

    def size_bytes(self) -> int:
        """Return about how much memory the keys take."""
        return len(self) * _BYTES_A_KEY

    def _window(self, times: Floats) -> Floats:
        return np.zeros(len(times)) if np.isinf(self._seconds) else stretches(times, self._seconds)

    def _bucket(self, window: float) -> _Bucket:
        bucket = self._buckets.get(window)
        if bucket is None:
            bucket = self._buckets[window] = {}
            heapq.heappush(self._order, window)
        return bucket

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Matches:
        """Match each record against earlier unique ones, and add those that are unique."""
        windows = self._window(times)
        if hashes.shape[1] == 1:
            return self._decide_one_key(hashes[:, 0], windows, references)
        combination = np.full(len(times), -1, np.int8)
        originals = np.full(len(times), NO_REFERENCE, np.int64)
        rows = zip(windows.tolist(), key_rows(hashes), references.tolist(), strict=True)
        for row, (window, keys, reference) in enumerate(rows):
            bucket = self._bucket(window)
            for index, key in enumerate(keys):
                original = bucket.get(key)
                if original is not None:
                    combination[row], originals[row] = index, original
                    break
            else:
                before = len(bucket)
                bucket.update(dict.fromkeys(keys, reference))
                self._keys += len(bucket) - before
        return Matches(combination, originals)

    def _decide_one_key(self, hashes: Hashes, windows: Floats, references: Ints) -> Matches:
        """One look-up and insert a record, in C: `setdefault` gives the first reference."""
        originals = np.empty(len(windows), np.int64)
        for window, rows in _rows_by_window(windows):
            bucket = self._bucket(window)
            before = len(bucket)
            originals[rows] = list(
                map(bucket.setdefault, key_bytes(hashes[rows]), references[rows].tolist())
            )
            self._keys += len(bucket) - before
        repeats = originals != references
        originals[~repeats] = NO_REFERENCE
        return Matches(np.where(repeats, 0, -1).astype(np.int8), originals)

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        rows = zip(self._window(times).tolist(), key_rows(hashes), strict=True)
        found = (not self._buckets.get(window, {}).keys().isdisjoint(keys) for window, keys in rows)
        return np.fromiter(found, np.bool_, len(times))

    def delta(self, hashes: Hashes, times: Floats, references: Ints, matches: Matches) -> Delta:
        """What `decide` added: the keys of the unique records."""
        return unique_delta(hashes, times, references, matches)

    def apply(self, delta: Delta) -> None:
        """Add what an earlier `decide` added."""
        windows = self._window(delta.times)
        for window, rows in _rows_by_window(windows):
            bucket = self._bucket(window)
            before = len(bucket)
            keys = key_bytes(delta.hashes[rows])
            bucket.update(zip(keys, delta.references[rows].tolist(), strict=True))
            self._keys += len(bucket) - before

    def expire(self, horizon: float) -> None:
        """Drop the windows that lie before the one of the horizon."""
        if np.isinf(self._seconds) or not np.isfinite(horizon):
            return
        # floor is monotonic: t ≥ horizon never falls into an earlier window.
        first = float(np.floor(horizon / self._seconds))  # Python's division overflows in silence
        while self._order and self._order[0] < first:
            self._keys -= len(self._buckets.pop(heapq.heappop(self._order)))

    def expired(self, newest: float, horizon: float) -> bool:
        """Tell whether the windows up to that of `newest` have been left by the horizon."""
        if np.isinf(self._seconds) or not np.isfinite(horizon):
            return False
        return bool(np.floor(newest / self._seconds) < np.floor(horizon / self._seconds))

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state."""
        return {
            "windows": [
                (window, b"".join(bucket), np.fromiter(bucket.values(), np.int64, len(bucket)))
                for window, bucket in self._buckets.items()
            ]
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._buckets = {
            window: dict(zip(np.frombuffer(keys, "V16").tolist(), values.tolist(), strict=True))
            for window, keys, values in state["windows"]
        }
        self._order = sorted(self._buckets)
        self._keys = sum(map(len, self._buckets.values()))
