"""What tumbling and sliding windows in memory share: keys in a table, decided in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import NO_REFERENCE, Codes, Delta, Matches
from operators.windows.batch_repeats import first_occurrences
from operators.windows.store import Renewals, renewing_delta
from operators.windows.table import Bound, KeyTable

_ODD = np.uint64(0xD6E8FEB86659FD93)
_ODD_LEVEL = 0xA0761D6478BD642F
_64_BITS = (1 << 64) - 1


@dataclass(slots=True)
class Answers:
    """What keys say of some records, were there room for all that is new.

    keys: all keys as they are placed, record by record.  ats: window or time of the
    records.  chosen: combination that matched, −1 for none.  originals: reference of the record
    repeated.  entries: that record's entry, −1 where it is of this batch or there is
    none.  added: keys to be added, as row · combinations + combination, in order.
    """

    keys: Hashes
    ats: Floats
    chosen: Codes
    originals: Ints
    entries: Ints
    added: Ints


class CompactStore:
    """Base of the stores that hold their keys in a `KeyTable`.

    A key is held under the stretch of time it is in: `place` mixes the two.
    """

    def __init__(self, seconds: float, bound: Bound | None) -> None:
        self._seconds = seconds
        self._bound = bound or Bound()
        self._table = KeyTable(self._bound)
        self._renewed: list[Renewals] = []

    def __len__(self) -> int:
        """Return the number of keys held."""
        return len(self._table)

    @property
    def false_positive_rate(self) -> float:
        """Return 0: keys are held exactly."""
        return 0.0

    def size_bytes(self) -> int:
        """Return how much memory the keys take."""
        return self._table.size_bytes

    @property
    def evicted(self) -> int:
        """Keys evicted so far to make room for others."""
        return self._table.evicted

    def _answer(self, hashes: Hashes, times: Floats, references: Ints) -> Answers:
        """Match records against the table and each other; change nothing."""
        raise NotImplementedError

    def _add(self, keys: Hashes, ats: Floats, references: Ints, stamps: Ints) -> None:
        """Add placed keys that are new in their window; at least one."""
        raise NotImplementedError

    def _renewal_times(self, entries: Ints, times: Floats) -> Floats:
        """Event times under which to find keys again, given those of their duplicates."""
        raise NotImplementedError

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Matches:
        """Match each record against earlier unique ones, and add those that are unique."""
        count, combinations = hashes.shape[:2]
        self._bound.check(combinations)
        matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
        self._renewed = []
        most = self._most_rows(count, combinations)
        at = 0
        while at < count:
            next_ = slice(at, at + most)
            answers = self._answer(hashes[next_], times[next_], references[next_])
            # Eviction has its moment: how the records are cut into batches must not matter.
            room = self._table.room
            full = len(answers.added) > room
            rows = int(answers.added[room]) // combinations if full else len(answers.chosen)
            if rows:
                done = slice(at, at + rows)
                matches.combination[done] = answers.chosen[:rows]
                matches.originals[done] = answers.originals[:rows]
                self._enter(times[done], references[done], answers, combinations, at)
            if full:
                self._table.evict()
            at += rows
        return matches

    def _enter(
        self, times: Floats, references: Ints, answers: Answers, combinations: int, at: int
    ) -> None:
        """Add the keys of unique records and renew those of duplicates, in one order.

        at: where in the batch these records begin.
        """
        count = len(times)
        added = answers.added
        if len(added) and added[-1] >= count * combinations:
            added = added[added < count * combinations]
        repeated = added[:0]
        if self._bound.renew:
            repeated = self._due(answers.entries[:count], added // combinations)
        renewed = repeated * combinations + answers.chosen[repeated]
        stamps = self._table.stamp(len(added) + len(renewed))
        if len(renewed):
            entries = answers.entries[repeated]
            self._renewed.append(
                Renewals(
                    renewed + at * combinations,
                    self._renewal_times(entries, times[repeated]),
                    self._table.references[entries],
                )
            )
            ranks = np.argsort(np.argsort(np.concatenate([added, renewed])))
            self._table.renew(entries, stamps[ranks[len(added) :]])
            stamps = stamps[ranks[: len(added)]]
        if len(added):
            rows = added if combinations == 1 else added // combinations
            self._add(answers.keys[added], answers.ats[rows], references[rows], stamps)

    def _most_rows(self, count: int, combinations: int) -> int:
        """How many records are decided together: none may renew what another of them added."""
        if not self._bound.renew:
            return count
        return max(1, min(count, self._bound.renewed_after // combinations))

    def _due(self, entries: Ints, added: Ints) -> Ints:
        """Rows of the duplicates that renew their key, as if they were decided one by one.

        entries: of each record, −1 for those that are not duplicates.  added: the row
        of each key that is added, in order.
        """
        repeated = np.flatnonzero(entries >= 0)
        entries = entries[repeated]
        by_adding = np.searchsorted(added, repeated)
        due = repeated[:0]
        while True:
            # A renewal makes all that is not renewed older, and so may bring others about.
            given = by_adding + np.searchsorted(due, repeated)
            stale = np.flatnonzero(self._table.stale(entries, given))
            found = repeated[stale[np.unique(entries[stale], return_index=True)[1]]]
            found.sort()
            if np.array_equal(found, due):
                return due
            due = found

    def delta(self, hashes: Hashes, times: Floats, references: Ints, matches: Matches) -> Delta:
        """What `decide` did: the keys of the unique records, and keys that were renewed."""
        return renewing_delta(hashes, times, references, matches, self._renewed)

    def _held(
        self, hashes: Hashes, times: Floats, references: Ints
    ) -> tuple[Hashes, Floats, Ints, int]:
        """Find the first keys of a delta: their places, windows or times, and entries.

        Entries are −1 where a key is not held.  Last, for how many rows: until a key
        comes again.
        """
        raise NotImplementedError

    def apply(self, delta: Delta) -> None:
        """Add and renew what an earlier `decide` did."""
        at = 0
        while at < len(delta):
            references = delta.references[at:]
            keys, ats, entries, rows = self._held(delta.hashes[at:], delta.times[at:], references)
            new = np.flatnonzero(entries[:rows] < 0)
            room = self._table.room
            full = len(new) > room
            if full:
                rows = int(new[room])
                new = new[:room]
            stamps = self._table.stamp(rows)
            if self._bound.renew:
                old = np.flatnonzero(entries[:rows] >= 0)
                self._table.renew(entries[old], stamps[old])
            if len(new):
                self._add(keys[new], ats[new], references[new], stamps[new])
            if full:
                self._table.evict()
            at += rows

    def holds(self, delta: Delta) -> Bools:
        """Tell which keys of a delta are held, or come earlier in it."""
        held = np.ones(len(delta), np.bool_)
        if len(delta):
            entries, rows = self._held(delta.hashes, delta.times, delta.references)[2:]
            held[:rows] = entries[:rows] >= 0
            if rows < len(delta):
                first = first_occurrences(delta.hashes)
                again = first != np.arange(len(first))
                held[rows:] = (entries[rows:] >= 0) | again[rows:]
        return held

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: columns of the keys held, the oldest first."""
        return self._table.dump()

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._table.load(state)


def place(hashes: Hashes, stretch: Floats, level: int = 0) -> Hashes:
    """Keys as they are held: mixed with the number of their stretch of time.

    hashes: shape (n, combinations, 2).  stretch: n numbers.  level: another place for
    the same key in the same stretch.  Mixing again undoes it.
    """
    placed = hashes.copy()
    bits = (stretch + 0.0).view(np.uint64) * _ODD  # −0.0 is 0.0
    placed[:, :, 0] ^= (bits + np.uint64(level * _ODD_LEVEL & _64_BITS))[:, None]
    return placed
