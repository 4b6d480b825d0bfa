"""The keys of one lane that are repeated most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from operators.columns.arrays import Codes, Hashes, Ints
from operators.columns.references import partition_and_offset
from operators.lanes.count_min import CountMinSketch

MAX_HOT_KEYS = 20
# All counts are halved after this many duplicates, so that yesterday's hot keys cool down.
_HALVE_AFTER = 1 << 20


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key with many duplicates.

    combination: index of the key combination that matched.  partition: number of an input
    partition in its lane; with the offset, of a duplicate with the key, as an example.
    duplicates: estimated count of recent ones.
    """

    combination: int
    partition: int
    offset: int
    duplicates: int


class HotKeys:
    """Counts duplicates by key in a sketch, and keeps the keys with the largest counts.

    For 99 keys of 100 the estimate is at most 0.05 % of all counted duplicates too high.
    Counts are halved every 2^20 duplicates, so old ones fade.
    """

    def __init__(self) -> None:
        """Start with no duplicates counted."""
        self._sketch = CountMinSketch()
        self._hottest: dict[bytes, HotKey] = {}
        self._min_duplicates = 0

    def add(self, hashes: Hashes, references: Ints, duplicates: Ints, combinations: Codes) -> None:
        """Count duplicates.  Near duplicates have no key in common and are not counted.

        hashes: keys of a batch's records, shape (n, combinations, 2).  references: of the
        records.  duplicates: which rows are duplicates.  combinations: the combination that
        matched for each of these; the one after the last is a near duplicate.
        """
        if len(duplicates) and combinations.max() >= hashes.shape[1]:
            by_key = combinations < hashes.shape[1]
            duplicates, combinations = duplicates[by_key], combinations[by_key]
        if not len(duplicates):
            return
        keys = hashes[duplicates, combinations]
        rows, estimates = self._sketch.add(keys)
        large = np.flatnonzero(estimates > self._min_duplicates)
        if len(large) > MAX_HOT_KEYS:
            large = large[np.argpartition(estimates[large], -MAX_HOT_KEYS)[-MAX_HOT_KEYS:]]
        for at in large.tolist():
            row = int(rows[at])
            partition, offset = partition_and_offset(int(references[duplicates[row]]))
            self._hottest[keys[row].tobytes()] = HotKey(
                int(combinations[row]), partition, offset, int(estimates[at])
            )
        if len(self._hottest) > MAX_HOT_KEYS:
            items = sorted(self._hottest.items(), key=lambda item: -item[1].duplicates)
            self._hottest = dict(items[:MAX_HOT_KEYS])
            self._min_duplicates = items[MAX_HOT_KEYS - 1][1].duplicates
        if self._sketch.total >= _HALVE_AFTER:
            self._halve()

    def _halve(self) -> None:
        self._sketch.halve()
        self._hottest = {
            key: replace(hot, duplicates=hot.duplicates // 2) for key, hot in self._hottest.items()
        }
        self._min_duplicates //= 2

    def hottest(self) -> list[HotKey]:
        """Return the hottest keys, most duplicates first; from any thread."""
        # `list` copies in one step; the lane's thread may be adding keys.
        return sorted(list(self._hottest.values()), key=lambda hot: -hot.duplicates)  # noqa: C414
