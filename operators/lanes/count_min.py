"""A Count-Min sketch: counts 128-bit keys, batch by batch, in fixed memory."""

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
    """Counts keys; an estimate is never too low, and rarely much too high.

    N is the sum of all counts.  With a width of e/ε and a depth of ln(1/δ) an estimate is
    at most ε·N too high, with probability 1 − δ.  Only a key's smallest cells are raised
    (conservative update): the bound holds, and estimates are much closer in practice.
    Source: Cormode & Muthukrishnan 2005; Estan & Varghese 2002 for the update.
    """

    def __init__(self, error: float = 0.0005, failure: float = 0.01) -> None:
        """error: ε, in (0, 1).  failure: δ, in (0, 1).  Raises ValueError for others."""
        if not (0 < error < 1 and 0 < failure < 1):
            msg = f"a sketch needs error and failure in (0, 1), not {error} and {failure}"
            raise ValueError(msg)
        self.width = math.ceil(math.e / error)
        self.depth = math.ceil(math.log(1 / failure))
        self.total = 0
        self._cells: npt.NDArray[np.int64] = np.zeros((self.depth, self.width), np.int64)

    def add(self, keys: Hashes) -> tuple[Ints, Ints]:
        """Count keys, shape (n, 2), which may repeat.

        Returns the first row of each distinct key, and its new estimate.
        """
        first = first_occurrences(keys)
        estimates = np.zeros(len(keys), np.int64)
        _count(self._cells, keys, first, estimates)
        self.total += len(keys)
        rows = np.flatnonzero(first == np.arange(len(first)))
        return rows, estimates[rows]

    def estimate(self, keys: Hashes) -> Ints:
        """Estimate how often each key was counted."""
        estimates = np.zeros(len(keys), np.int64)
        _estimate(self._cells, keys, estimates)
        return estimates

    def halve(self) -> None:
        """Halve all counts, so that recent ones weigh more."""
        self._cells >>= 1
        self.total >>= 1


@jit
def _cell(key: Hashes, row: int, width: int) -> np.int64:
    """Return the cell of a key in a row of the sketch."""
    mixed = key[0] + np.uint64(row) * (key[1] | _ONE)
    mixed ^= mixed >> _HALF
    mixed *= _SPREAD
    mixed ^= mixed >> _HALF
    mixed *= _SPREAD
    return np.int64((mixed >> _HALF) * np.uint64(width) >> _HALF)


@jit
def _smallest(cells: Ints, key: Hashes) -> np.int64:
    """Return the smallest count of a key's cells."""
    depth, width = cells.shape
    smallest = cells[0, _cell(key, 0, width)]
    for row in range(1, depth):
        smallest = min(smallest, cells[row, _cell(key, row, width)])
    return np.int64(smallest)


@jit
def _count(cells: Ints, keys: Hashes, first: Ints, estimates: Ints) -> None:
    """Count keys one by one; write the estimate of each to the first row that has it."""
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
