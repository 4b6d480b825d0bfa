"""The common part of tumbling and sliding windows in memory: keys in a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.columns.jit import jit
from operators.columns.references import NO_REFERENCE
from operators.verdicts import Matches
from operators.windows.bound import Bound
from operators.windows.key_table.decide_loop import Probes, Results, bucket_salts, salted
from operators.windows.key_table.probing import Words
from operators.windows.key_table.table import KeyTable
from operators.windows.store import Decision, Renewals, renewing_delta


class TableStore:
    """Base of the stores that hold their keys in a `KeyTable`.

    The table holds each key mixed with its bucket of event time (`salt_keys`).
    """

    def __init__(self, seconds: float, bound: Bound | None) -> None:
        self._seconds = seconds
        self._bound = bound or Bound()
        self._table = KeyTable(self._bound)
        # How often one key can be in a bucket: once, unless rounding of t / W puts two there.
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

    def _probes(self, hashes: Hashes, times: Floats, references: Ints) -> Probes:
        """Return where to look for records."""
        raise NotImplementedError

    def _add(self, keys: Hashes, bucket_or_time: Floats, references: Ints, stamps: Ints) -> None:
        """Add salted keys that are new in their window; at least one."""
        raise NotImplementedError

    def _note_added(self, bucket_or_time: Floats) -> None:
        """Remember the buckets or times of keys that were added."""
        raise NotImplementedError

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        count, combinations = hashes.shape[:2]
        self._bound.check(combinations)
        matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
        if not count:
            return Decision(matches, Delta.empty())
        probes = self._probes(hashes, times, references)
        max_renewed = count if self._bound.renew else 0
        results = Results(
            matches.combination,
            matches.originals,
            np.empty(max_renewed, np.int64),
            np.empty(max_renewed),
            np.empty(max_renewed, np.int64),
        )
        row, renewals = 0, list[Renewals]()
        while True:
            # Eviction happens between two records, so the cut into batches does not matter.
            row, renewed, self._levels = self._table.decide(probes, self._levels, row, results)
            if renewed:
                rows = results.renewed[:renewed]
                renewals.append(
                    Renewals(
                        rows * combinations + matches.combination[rows],
                        self._renewal_times(results.renewed_at[:renewed].copy(), times[rows]),
                        matches.originals[rows],
                    )
                )
            if row == count:
                break
            self._table.evict()
        unique = matches.combination < 0
        if unique.any():
            self._note_added(probes.bucket_or_time[unique])
        return Decision(matches, renewing_delta(hashes, times, references, matches, renewals))

    def _renewal_times(self, held: Floats, times: Floats) -> Floats:
        """Return event times under which `apply` finds renewed keys again.

        held: their `bucket_or_time`.  times: of the duplicates.
        """
        raise NotImplementedError

    def _find_rows(
        self, hashes: Hashes, times: Floats, references: Ints
    ) -> tuple[Hashes, Floats, Ints, int]:
        """Find the keys of a delta: return salted keys, buckets or times, entries, and a count.

        An entry is −1 if the key is not held.  The entries hold for the first `count` rows:
        the next row repeats a key of an earlier one.
        """
        raise NotImplementedError

    def apply(self, delta: Delta) -> None:
        """Add and renew the keys that an earlier `decide` added and renewed."""
        begin = 0
        while begin < len(delta):
            references = delta.references[begin:]
            keys, bucket_or_time, entries, rows = self._find_rows(
                delta.hashes[begin:], delta.times[begin:], references
            )
            new = np.flatnonzero(entries[:rows] < 0)
            room = self._table.room
            full = len(new) > room
            if full:
                rows = int(new[room])
                new = new[:room]
            stamps = self._table.take_stamps(rows)
            if self._bound.renew:
                old = np.flatnonzero(entries[:rows] >= 0)
                self._table.renew(entries[old], stamps[old])
            if len(new):
                self._add(keys[new], bucket_or_time[new], references[new], stamps[new])
            if full:
                self._table.evict()
            begin += rows

    def holds(self, delta: Delta) -> Bools:
        """Tell which rows of a delta add no entry: their key is held, or comes earlier in it."""
        held = np.ones(len(delta), np.bool_)
        if len(delta):
            entries, rows = self._find_rows(delta.hashes, delta.times, delta.references)[2:]
            held[:rows] = entries[:rows] >= 0
            if rows < len(delta):
                first = first_occurrences(delta.hashes)
                repeated = first != np.arange(len(first))
                held[rows:] = (entries[rows:] >= 0) | repeated[rows:]
        return held

    @property
    def crowded(self) -> bool:
        """Whether a bucket may hold a key more than once."""
        return self._levels > 1

    def known(self, keys: Hashes) -> Bools:
        """Return False for each key: entries of this kind never grow."""
        return np.zeros(len(keys), np.bool_)

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: columns of the keys held, the oldest first."""
        return self._table.dump()

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._table.load(state)


def salt_keys(hashes: Hashes, buckets: Floats, level: int = 0) -> Hashes:
    """Return keys as the table holds them: mixed with the number of their bucket.

    hashes: shape (n, combinations, 2).  buckets: n numbers.  level: for another place of
    the same key in the same bucket.  Mixing again undoes it.
    """
    keys = hashes.copy()
    _salt(keys, bucket_salts(buckets), level)
    return keys


@jit
def _salt(keys: Hashes, salts: Words, level: int) -> None:
    for row in range(len(keys)):
        for combination in range(keys.shape[1]):
            keys[row, combination, 0] = salted(keys[row, combination, 0], salts[row], level)
