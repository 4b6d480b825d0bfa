"""Where in a batch each hash occurs first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Hashes, Ints
from operators.columns.jit import jit

# Enough slots that different keys rarely share one.
_SLOTS_PER_KEY = 4
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_ONE, _WORD_BITS = np.uint64(1), np.uint64(64)


def first_occurrences(keys: Hashes) -> Ints:
    """For each row, the first row with the same key: the row itself if none is earlier.

    keys: shape (n, 2).
    """
    first = np.empty(len(keys), np.int64)
    bits = (len(keys) * _SLOTS_PER_KEY).bit_length()
    _find_first(keys, bits, np.full(1 << bits, -1, np.int32), first)
    return first


@jit
def _find_first(keys: Hashes, bits: int, owners: npt.NDArray[np.int32], first: Ints) -> None:
    """owners: the row that owns each of 2^bits slots, −1 for a free slot."""
    mask = np.int64(len(owners) - 1)
    for row in range(len(keys)):
        low, high = keys[row, 0], keys[row, 1]
        slot = np.int64(((low ^ high << _ONE) * _SPREAD) >> (_WORD_BITS - np.uint64(bits)))
        step = np.int64(high >> _ONE) | 1  # odd, so it visits all slots
        owner = owners[slot]
        while owner >= 0 and (keys[owner, 0] != low or keys[owner, 1] != high):
            slot = (slot + step) & mask
            owner = owners[slot]
        if owner < 0:
            owner = owners[slot] = row
        first[row] = owner
