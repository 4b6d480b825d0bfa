"""What tumbling and sliding windows in memory share: keys in a table, decided in batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.columns.jit import jit
from operators.columns.references import NO_REFERENCE
from operators.verdicts import Matches
from operators.windows.key_table.decide_loop import Probes, Results, bucket_salts, salted
from operators.windows.key_table.index import Words
from operators.windows.key_table.table import Bound, KeyTable
from operators.windows.store import Decision, Renewals, renewing_delta


class TableStore:
    """Base of the stores that hold their keys in a `KeyTable`.

    A key is held under the stretch of time it is in: `place` mixes the two.
    """

    def __init__(self, seconds: float, bound: Bound | None) -> None:
        self._seconds = seconds
        self._bound = bound or Bound()
        self._table = KeyTable(self._bound)
        # How many keys that are equal may be in one stretch: one, but for rounding.
        self._levels = 1

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

    def _asked(self, hashes: Hashes, times: Floats, references: Ints) -> Probes:
        """Tell where to look for records."""
        raise NotImplementedError

    def _add(self, keys: Hashes, ats: Floats, references: Ints, stamps: Ints) -> None:
        """Add placed keys that are new in their window; at least one."""
        raise NotImplementedError

    def _added(self, ats: Floats) -> None:
        """Take note of windows or times that keys were added with."""
        raise NotImplementedError

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        count, combinations = hashes.shape[:2]
        self._bound.check(combinations)
        matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
        if not count:
            return Decision(matches, Delta.empty())
        asked = self._asked(hashes, times, references)
        most = count if self._bound.renew else 0
        answers = Results(
            matches.combination,
            matches.originals,
            np.empty(most, np.int64),
            np.empty(most),
            np.empty(most, np.int64),
        )
        row, renewals = 0, list[Renewals]()
        while True:
            # Eviction has its moment: how the records are cut into batches must not matter.
            row, renewed, self._levels = self._table.decide(asked, self._levels, row, answers)
            if renewed:
                rows = answers.renewed[:renewed]
                renewals.append(
                    Renewals(
                        rows * combinations + matches.combination[rows],
                        self._renewal_times(answers.renewed_at[:renewed].copy(), times[rows]),
                        matches.originals[rows],
                    )
                )
            if row == count:
                break
            self._table.evict()
        unique = matches.combination < 0
        if unique.any():
            self._added(asked.ats[unique])
        return Decision(matches, renewing_delta(hashes, times, references, matches, renewals))

    def _renewal_times(self, held: Floats, times: Floats) -> Floats:
        """Event times under which to find renewed keys again.

        held: what they are held with.  times: of the duplicates.
        """
        raise NotImplementedError

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
    held = hashes.copy()
    _place(held, bucket_salts(stretch), level)
    return held


@jit
def _place(hashes: Hashes, marks: Words, level: int) -> None:
    for row in range(len(hashes)):
        for combination in range(hashes.shape[1]):
            hashes[row, combination, 0] = salted(hashes[row, combination, 0], marks[row], level)
