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


# A product with this has the sum of the word's four bytes in its highest byte.
_SUM_OF_BYTES, _HIGHEST = np.uint32(0x01010101), np.uint32(24)


def bits_set(words: Words) -> npt.NDArray[np.uint32]:
    """Count the bits set in each row of an array of shape (n, 4), modulo 256.

    256 set bits count as 0.  The count is compared with an upper bound, so the pair passes.
    """
    counts = _bits_in_each(words)
    return (counts.view(np.uint32)[:, 0] * _SUM_OF_BYTES) >> _HIGHEST


if hasattr(np, "bitwise_count"):

    def _bits_in_each(words: Words) -> npt.NDArray[np.uint8]:
        counts: npt.NDArray[np.uint8] = np.bitwise_count(words).astype(np.uint8, copy=False)
        return counts

else:  # numpy 1.26
    _BITS = np.array([byte.bit_count() for byte in range(256)], np.uint8)

    def _bits_in_each(words: Words) -> npt.NDArray[np.uint8]:
        octets = np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape, 8)
        counts: npt.NDArray[np.uint8] = _BITS[octets].sum(axis=2, dtype=np.uint8)
        return counts
