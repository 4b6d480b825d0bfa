"""Sessions on disk: all sessions of a key are stored together."""

from __future__ import annotations

import numpy as np

from operators.columns.arrays import Floats
from operators.windows.disk.layout import UNBOUNDED, Entry, KeyLayout, MemoryStore
from operators.windows.session import SessionStore


class SessionLayout(KeyLayout):
    """Sessions on disk, in one bucket, since a session may be longer than any bucket.

    They expire by a list of keys in the order of the buckets in which their sessions ended.
    """

    must_read_before_write = True
    skip_lookup_if_in_memory = False
    entries_grow = True

    def memory_store(self) -> MemoryStore:
        """Make an empty store of the same window in memory."""
        return SessionStore(self.seconds, UNBOUNDED)

    def bucket_of(self, times: Floats) -> Floats:
        """Return the one bucket for all."""
        return np.zeros(len(times))

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Return the sessions of a key after one replaced those that it absorbed."""
        absorbed = self._absorbed(entries, entry)
        kept = [held for held in entries if held not in absorbed]
        kept.insert(entries.index(absorbed[0]) if absorbed else len(entries), entry)
        return kept

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted and then added again with this entry."""
        absorbed = self._absorbed(entries, entry)
        return bool(absorbed) and all(held[2] != entry[2] for held in absorbed)

    def _absorbed(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Return the sessions that a session touches."""
        first, last, _ = entry
        return [
            held
            for held in entries
            if held[0] - last < self.seconds and first - held[1] < self.seconds
        ]

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Return False: sessions do not expire by buckets."""
        del number, newest, horizon
        return False
