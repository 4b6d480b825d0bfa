"""A Bloom filter for batches of keys: tells which may have been added, in two bytes a key."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Hashes, Ints

Bytes = npt.NDArray[np.uint8]

# The high half of a 64-bit product is a bit's position.
MAX_BITS = 1 << 32
_MAX_HASHES = 32
# Half of the bits are set in a full filter, so three hashes rule out 7/8 of the unseen
# keys.  Only the others need all hashes.
_FIRST_HASHES = 3
_HALF = np.uint64(32)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_BITS_SET = np.array([byte.bit_count() for byte in range(256)], np.uint8)


def false_positive_rate(bits: int, hashes: int, keys: float) -> float:
    """Expected share of unseen keys that a Bloom filter reports as seen.

    bits: size of the filter in bits, > 0.  hashes: hash functions, 1–32.
    keys: distinct keys added so far.  Returns a probability in [0, 1].
    Raises ValueError for sizes out of range.
    Source: Bloom 1970, (1 − e^(−kn/m))^k; Kirsch & Mitzenmacher 2006 for two hashes.
    """
    if bits < 1 or not 1 <= hashes <= _MAX_HASHES or keys < 0:
        msg = f"no Bloom filter has {bits} bits, {hashes} hashes and {keys} keys"
        raise ValueError(msg)
    return float((-math.expm1(-hashes * keys / bits)) ** hashes)


@dataclass(frozen=True, slots=True)
class BloomSize:
    """Bits and hash functions of a filter."""

    bits: int
    hashes: int

    @staticmethod
    def of(keys: int, error: float) -> BloomSize:
        """Return the smallest size for that many keys with that error.

        keys: ≥ 1.  error: share of unseen keys reported as seen, in (0, 1).
        Raises ValueError if one is out of range, or the size is over 2^32 bits.
        Source: Bloom 1970; m = −n ln ε / ln² 2, k = −log2 ε.
        """
        if keys < 1 or not 0 < error < 1:
            msg = f"a Bloom filter for {keys} keys with an error of {error} cannot be made"
            raise ValueError(msg)
        hashes = min(max(1, round(-math.log2(error))), _MAX_HASHES)
        # For this whole number of hashes: (1 − e^(−kn/m))^k = ε.
        bits = math.ceil(-hashes * keys / math.log1p(-(error ** (1 / hashes))))
        if bits > MAX_BITS:
            msg = f"a Bloom filter for {keys} keys with an error of {error} is over {MAX_BITS} bits"
            raise ValueError(msg)
        return BloomSize(max(bits, 8), hashes)


class BloomFilter:
    """A set of keys: it always reports an added key, and rarely one that was not added.

    `count`: distinct keys added, by what `add` was given.
    """

    def __init__(self, size: BloomSize) -> None:
        self.size = size
        self.count = 0
        self._bytes: Bytes = np.zeros((size.bits + 7) // 8, np.uint8)

    @property
    def size_bytes(self) -> int:
        """Memory taken."""
        return self._bytes.nbytes

    @property
    def false_positive_rate(self) -> float:
        """Expected share of unseen keys reported as seen, with the keys added so far."""
        return false_positive_rate(self.size.bits, self.size.hashes, self.count)

    def _positions(self, keys: Hashes, first: int, last: int) -> Ints:
        """Return the bits of hash functions `first` to `last` (excluded), shape (functions, n).

        The i-th is hash 1 + i · hash 2 (Kirsch & Mitzenmacher 2006), mixed and scaled to
        the size: in a small filter the progression alone would hit its own bits again.
        """
        functions = np.arange(first, last, dtype=np.uint64)[:, None]
        hashes = keys[:, 0] + functions * (keys[:, 1] | np.uint64(1))
        hashes ^= hashes >> _HALF
        hashes *= _MULTIPLIER
        hashes ^= hashes >> _HALF
        hashes *= _MULTIPLIER
        scaled: Ints = ((hashes >> _HALF) * np.uint64(self.size.bits) >> _HALF).view(np.int64)
        return scaled

    def _has(self, keys: Hashes, first: int, last: int) -> Bools:
        positions = self._positions(keys, first, last)
        bits = self._bytes[positions >> 3] >> (positions & 7).astype(np.uint8)
        all_set: Bools = (np.bitwise_and.reduce(bits, axis=0) & 1).view(np.bool_)
        return all_set

    def contains(self, keys: Hashes) -> Bools:
        """Tell which keys, of shape (n, 2), may have been added."""
        first = min(_FIRST_HASHES, self.size.hashes)
        maybe = self._has(keys, 0, first)
        rows = np.flatnonzero(maybe)
        if len(rows) and first < self.size.hashes:
            maybe[rows] = self._has(keys[rows], first, self.size.hashes)
        return maybe

    def add(self, keys: Hashes) -> None:
        """Add keys that differ and were not added before, and count them."""
        positions = self._positions(keys, 0, self.size.hashes).reshape(-1)
        at, bits = positions >> 3, np.uint8(1) << (positions & 7).astype(np.uint8)
        # Two bits may be in one byte: the last write wins, and the loop repeats the other.
        while len(at):
            self._bytes[at] |= bits
            lost = (self._bytes[at] & bits) == 0
            at, bits = at[lost], bits[lost]
        self.count += len(keys)

    def merge(self, other: BloomFilter) -> None:
        """Add the keys of a filter of the same size; the count is an estimate from then on.

        Raises ValueError for another size.  Source: Swamidass & Baldi 2007 for the count.
        """
        if other.size != self.size:
            msg = f"filters of {self.size} and {other.size} cannot be merged"
            raise ValueError(msg)
        self._bytes |= other._bytes
        bits, hashes = self.size.bits, self.size.hashes
        unset = max(bits - int(_BITS_SET[self._bytes].sum(dtype=np.int64)), 1)
        self.count = round(-bits / hashes * math.log(unset / bits))

    def dump(self) -> dict[str, Any]:
        """Copy the filter: numbers and bytes, safe to pickle."""
        return {
            "bits": self.size.bits,
            "hashes": self.size.hashes,
            "count": self.count,
            "bytes": self._bytes.tobytes(),
        }

    @staticmethod
    def load(state: dict[str, Any]) -> BloomFilter:
        """Make a filter from a state that `dump` made."""
        loaded = BloomFilter(BloomSize(state["bits"], state["hashes"]))
        loaded.count = state["count"]
        loaded._bytes = np.frombuffer(state["bytes"], np.uint8).copy()
        return loaded
