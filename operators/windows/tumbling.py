"""Tumbling windows, and the window that never ends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.windows.bound import Bound
from operators.windows.disk.layout import UNBOUNDED, Entry, KeyLayout, MemoryStore
from operators.windows.key_table.decide_loop import Probes, bucket_salts
from operators.windows.key_table.store import TableStore, salt_keys
from operators.windows.store import bucket_numbers, window_is_past, window_numbers


class TumblingStore(TableStore):
    """Keys with their window `floor(t / W)`; a key is unique once in each window.

    A window is dropped whole when the horizon has left it: from then on every record that
    belongs to it is late.  With an infinite length there is one window, and only eviction
    drops keys.
    """

    def __init__(self, seconds: float, bound: Bound | None = None) -> None:
        """seconds: length of the window, > 0; infinite if it never ends."""
        super().__init__(seconds, bound)
        self._oldest = math.inf

    def _probes(self, hashes: Hashes, times: Floats, references: Ints) -> Probes:
        windows = window_numbers(times, self._seconds)
        return Probes(
            np.ascontiguousarray(hashes),
            bucket_salts(windows)[None],
            windows,
            np.ascontiguousarray(references),
            np.inf,
        )

    def _add(self, keys: Hashes, bucket_or_time: Floats, references: Ints, stamps: Ints) -> None:
        self._note_added(bucket_or_time)
        self._table.add(keys, bucket_or_time, references, stamps)

    def _note_added(self, bucket_or_time: Floats) -> None:
        self._oldest = min(self._oldest, float(bucket_or_time.min()))

    def _renewal_times(self, held: Floats, times: Floats) -> Floats:
        del held
        return times

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each by itself; add nothing."""
        windows = window_numbers(times, self._seconds)
        entries = self._table.find(salt_keys(hashes, windows).reshape(-1, 2))
        repeats: Bools = np.logical_or.reduce(entries.reshape(hashes.shape[:2]) >= 0, axis=1)
        return repeats

    def _find_rows(
        self, hashes: Hashes, times: Floats, references: Ints
    ) -> tuple[Hashes, Floats, Ints, int]:
        del references
        windows = window_numbers(times, self._seconds)
        keys = salt_keys(hashes[:, None], windows)[:, 0]
        repeats = np.flatnonzero(first_occurrences(keys) != np.arange(len(keys)))
        rows = int(repeats[0]) if len(repeats) else len(keys)
        return keys, windows, self._table.find(keys), rows

    def expire(self, horizon: float) -> None:
        """Drop the windows before the horizon's window."""
        if np.isfinite(horizon) and not np.isinf(self._seconds):
            # floor is monotonic: t ≥ horizon never falls into an earlier window.
            first = float(bucket_numbers(np.array([horizon]), self._seconds)[0])
            if self._oldest < first:
                self._table.drop_before(first)
                self._oldest = self._table.oldest()
        self._table.sweep()

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether the horizon has left the window of `newest`, and so all before it."""
        return window_is_past(newest, horizon, self._seconds)

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        super().load(state)
        self._oldest = self._table.oldest()


class TumblingLayout(KeyLayout):
    """Tumbling windows on disk: a bucket is a window."""

    def memory_store(self) -> MemoryStore:
        """Make an empty store of the same window in memory."""
        return TumblingStore(self.seconds, UNBOUNDED)

    def bucket_of(self, times: Floats) -> Floats:
        """Return the window of each time."""
        return window_numbers(times, self.seconds)

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Return the entries of a key after one more was written: a window has one."""
        return [entry] if not entries or self.added_again(entries, entry) else entries

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted and then added again with this entry."""
        return any(held[2] != entry[2] for held in entries)

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Tell whether the horizon has left a window."""
        del newest
        if np.isinf(self.seconds) or not math.isfinite(horizon):
            return False
        return number < float(bucket_numbers(np.array([horizon]), self.seconds)[0])
