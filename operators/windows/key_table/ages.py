"""How old the keys of a table are: counted by periods of stamps, so that nothing is sorted."""

from __future__ import annotations

import numpy as np

from operators.columns.arrays import Ints


class KeyAges:
    """Counts keys by the period in which they were stamped.

    A stamp is a running number from when a key was added or renewed.
    """

    def __init__(self, period: int) -> None:
        """period: how many stamps count as equally old, ≥ 1."""
        self._period = period
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        """Return the number of keys counted."""
        return sum(self._counts.values())

    def add(self, stamps: Ints) -> None:
        """Count keys with these stamps."""
        self._count(stamps, 1)

    def remove(self, stamps: Ints) -> None:
        """Count keys with these stamps no more."""
        self._count(stamps, -1)

    def _count(self, stamps: Ints, sign: int) -> None:
        if not len(stamps):
            return
        first = int(stamps[0]) // self._period
        # Nearly always the stamps are of one period: a batch is small beside it.
        if first == int(stamps.min()) // self._period == int(stamps.max()) // self._period:
            counts = [(first, len(stamps))]
        else:
            periods, numbers = np.unique(stamps // self._period, return_counts=True)
            counts = list(zip(periods.tolist(), numbers.tolist(), strict=True))
        for period, count in counts:
            left = self._counts.get(period, 0) + sign * count
            if left:
                self._counts[period] = left
            else:
                del self._counts[period]

    def border_of_oldest(self, count: int) -> int:
        """Return a stamp: at least `count` keys have an earlier one, if there are as many."""
        border = 0
        for period in sorted(self._counts):
            count -= self._counts[period]
            border = (period + 1) * self._period
            if count <= 0:
                break
        return border
