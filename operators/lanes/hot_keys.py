"""The keys that are repeated most, of one lane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.columns.arrays import Codes, Hashes, Ints
from operators.columns.references import partition_and_offset
from operators.lanes.count_min import CountMinSketch

MOST = 20
"""How many are kept."""
# After so many repeats all counts are halved: what was hot yesterday cools down.
_HALVED_AFTER = 1 << 20


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key with many repeats.

    combination: index of the key combination that matched.  partition, offset: of a
    record with the key, where it can be looked at.  repeats: about how many
    duplicates it had lately.
    """

    combination: int
    key: str
    partition: int
    offset: int
    repeats: int


class HotKeys:
    """Counts duplicates by key, in a sketch, and keeps the largest.

    The sketch's estimates are at most 0.05 % of the duplicates too large, but for one
    key in a hundred; they count the last one to two million duplicates.
    """

    def __init__(self) -> None:
        self._sketch = CountMinSketch()
        self._top: dict[bytes, HotKey] = {}
        self._least = 0

    def add(self, hashes: Hashes, combinations: Codes, references: Ints) -> None:
        """Count duplicates.

        hashes: of the keys that matched, shape (n, 2).  combinations: which those
        are.  references: of the duplicates.
        """
        rows, estimates = self._sketch.add(hashes)
        large = np.flatnonzero(estimates > self._least)
        if len(large) > MOST:
            large = large[np.argpartition(estimates[large], -MOST)[-MOST:]]
        for at in large.tolist():
            row = int(rows[at])
            key = hashes[row].tobytes()
            partition, offset = partition_and_offset(int(references[row]))
            self._top[key] = HotKey(
                int(combinations[row]), key.hex(), partition, offset, int(estimates[at])
            )
        if len(self._top) > MOST:
            kept = sorted(self._top.items(), key=lambda item: -item[1].repeats)[:MOST]
            self._top = dict(kept)
            self._least = kept[-1][1].repeats
        if self._sketch.total >= _HALVED_AFTER:
            self._sketch.halve()
            self._top = {
                key: HotKey(one.combination, one.key, one.partition, one.offset, one.repeats // 2)
                for key, one in self._top.items()
            }
            self._least //= 2

    def top(self) -> list[HotKey]:
        """The keys repeated most, the largest first; from any thread."""
        return sorted(list(self._top.values()), key=lambda one: -one.repeats)  # noqa: C414 - a copy
