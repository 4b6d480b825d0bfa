"""A Count-Min sketch for batches of 128-bit keys: how often each was seen, in fixed memory."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from operators.batches import Hashes, Ints
from operators.windows.batch_repeats import first_occurrences

_HALF = np.uint64(32)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd


class CountMinSketch:
    """Counts keys; an estimate is never too small, and seldom much too large.

    With a width of e/ε and a depth of ln(1/δ) an estimate is at most ε·N above the
    count, N being the sum of all counts, with a probability of 1 − δ.  Only the
    smallest cells of a key are raised (conservative update), which keeps to that
    bound and is far nearer in practice.
    Source: Cormode & Muthukrishnan 2005; Estan & Varghese 2002 for the update.
    """

    def __init__(self, error: float = 0.0005, doubt: float = 0.01) -> None:
        """error: ε, in (0, 1).  doubt: δ, in (0, 1).  Raises ValueError for others."""
        if not (0 < error < 1 and 0 < doubt < 1):
            msg = f"a sketch with an error of {error} and a doubt of {doubt} cannot be made"
            raise ValueError(msg)
        self.width = math.ceil(math.e / error)
        self.depth = math.ceil(math.log(1 / doubt))
        self.total = 0
        self._cells: npt.NDArray[np.int64] = np.zeros((self.depth, self.width), np.int64)

    def _positions(self, keys: Hashes) -> Ints:
        """Cells of each key, of shape (depth, n), as positions in all rows one after another."""
        rows = np.arange(self.depth, dtype=np.uint64)[:, None]
        hashes = keys[:, 0] + rows * (keys[:, 1] | np.uint64(1))
        hashes ^= hashes >> _HALF
        hashes *= _SPREAD
        hashes ^= hashes >> _HALF
        hashes *= _SPREAD
        cells = (hashes >> _HALF) * np.uint64(self.width) >> _HALF
        positions: Ints = (cells + rows * np.uint64(self.width)).view(np.int64)
        return positions

    def add(self, keys: Hashes) -> tuple[Ints, Ints]:
        """Count keys, of shape (n, 2), repeats included.

        Returns the first row of each different key, and the new estimate of each.
        """
        first = first_occurrences(keys)
        rows = np.flatnonzero(first == np.arange(len(first)))
        times = np.bincount(first, minlength=len(first))[rows]
        positions = self._positions(keys[rows])
        cells = self._cells.reshape(-1)
        estimates: Ints = cells[positions].min(axis=0) + times
        # Keys of a batch that share a cell: the larger estimate stays, as one after another.
        np.maximum.at(cells, positions, np.broadcast_to(estimates, positions.shape))
        self.total += len(keys)
        return rows, estimates

    def estimate(self, keys: Hashes) -> Ints:
        """How often each key was counted, or a little more."""
        estimates: Ints = self._cells.reshape(-1)[self._positions(keys)].min(axis=0)
        return estimates

    def halve(self) -> None:
        """Let half of all counts be forgotten, so that the recent ones weigh more."""
        self._cells >>= 1
        self.total >>= 1
