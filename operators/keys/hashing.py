"""128-bit hashes of keys: murmur3 over bytes that are equal only for equal keys.

Each kind of content has its own seed: a string and a canonical JSON text with the same
bytes have different hashes.  With 10 million live keys and a billion records, a collision
has the probability n·m / 2^128 ≈ 3·10⁻²³: treated as impossible.
Source: Austin Appleby, MurmurHash3_x64_128 (package mmh3).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import mmh3
import numpy as np

from operators.columns.arrays import Hashes

# Seeds: the kind of content in the lowest bit, the combination above it.
_STRING, _JSON = 0, 1
_KINDS = 2

SHARD = 1 << 20
"""The index for a hash of the shard, which is no combination."""

hash_bytes = mmh3.hash_bytes


def string_seed(combination: int) -> int:
    """Seed for a key that is one JSON string (as UTF-8), one record key or one header."""
    return combination * _KINDS + _STRING


def json_seed(combination: int) -> int:
    """Seed for keys hashed as canonical JSON."""
    return combination * _KINDS + _JSON


def hash_column(texts: Iterable[bytes] | Iterable[str], seed: int) -> Hashes:
    """Hash a column of texts, strings as UTF-8.

    Returns an array of shape (n, 2): low and high 64 bits.
    """
    return rows_of(map(hash_bytes, texts, repeat(seed)))


def rows_of(digests: Iterable[bytes]) -> Hashes:
    """Array of shape (n, 2) from digests of 16 bytes."""
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
