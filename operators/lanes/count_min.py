"""A Count-Min sketch for batches of 128-bit keys: how often each was seen, in fixed memory."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Hashes, Ints
from operators.columns.first_occurrences import first_occurrences
from operators.columns.jit import jit

_ONE, _HALF = np.uint64(1), np.uint64(32)
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

    def add(self, keys: Hashes) -> tuple[Ints, Ints]:
        """Count keys, of shape (n, 2), repeats included.

        Returns the first row of each different key, and the new estimate of each.
        """
        first = first_occurrences(keys)
        estimates = np.zeros(len(keys), np.int64)
        _count(self._cells, keys, first, estimates)
        self.total += len(keys)
        rows = np.flatnonzero(first == np.arange(len(first)))
        return rows, estimates[rows]

    def estimate(self, keys: Hashes) -> Ints:
        """How often each key was counted, or a little more."""
        estimates = np.zeros(len(keys), np.int64)
        _estimate(self._cells, keys, estimates)
        return estimates

    def halve(self) -> None:
        """Let half of all counts be forgotten, so that the recent ones weigh more."""
        self._cells >>= 1
        self.total >>= 1


@jit
def _cell(key: Hashes, row: int, width: int) -> np.int64:
    """Where a key is counted in a row of the sketch."""
    mixed = key[0] + np.uint64(row) * (key[1] | _ONE)
    mixed ^= mixed >> _HALF
    mixed *= _SPREAD
    mixed ^= mixed >> _HALF
    mixed *= _SPREAD
    return np.int64((mixed >> _HALF) * np.uint64(width) >> _HALF)


@jit
def _smallest(cells: Ints, key: Hashes) -> np.int64:
    """The smallest count of a key's cells."""
    depth, width = cells.shape
    smallest = cells[0, _cell(key, 0, width)]
    for row in range(1, depth):
        smallest = min(smallest, cells[row, _cell(key, row, width)])
    return np.int64(smallest)


@jit
def _count(cells: Ints, keys: Hashes, first: Ints, estimates: Ints) -> None:
    """Count keys one after another; the estimate of each goes to the first row that has it."""
    depth, width = cells.shape
    for at in range(len(keys)):
        count = _smallest(cells, keys[at]) + 1
        for row in range(depth):
            cell = _cell(keys[at], row, width)
            cells[row, cell] = max(cells[row, cell], count)
        estimates[first[at]] = count


@jit
def _estimate(cells: Ints, keys: Hashes, estimates: Ints) -> None:
    for at in range(len(keys)):
        estimates[at] = _smallest(cells, keys[at])
