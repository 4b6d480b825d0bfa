"""64-bit mixing of whole columns."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(words: Words) -> Words:
    """Mix the bits of each word; different words stay different.

    Source: Steele, Lea & Flood 2014, the finalizer of SplitMix64 (Stafford's mix 13).
    """
    mixed = words + GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed


if hasattr(np, "bitwise_count"):

    def bits_set(words: Words) -> npt.NDArray[np.int64]:
        """Count the bits set in each row of an array of shape (n, words)."""
        counts: npt.NDArray[np.int64] = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
        return counts

else:  # numpy 1.26
    _BITS = np.array([number.bit_count() for number in range(256)], np.uint8)

    def bits_set(words: Words) -> npt.NDArray[np.int64]:
        """Count the bits set in each row of an array of shape (n, words)."""
        octets = np.ascontiguousarray(words).view(np.uint8)
        counts: npt.NDArray[np.int64] = _BITS[octets].sum(axis=1, dtype=np.int64)
        return counts
