"""128-bit hashes of keys: murmur3 over bytes that only equal keys share.

Each kind of content has a seed of its own, so that a string, a canonical JSON
text and raw header bytes never meet by having the same bytes.  With 128 bits,
10 million live keys and a billion records, a collision is a matter of
n·m / 2^128 ≈ 3·10⁻²³: treated as impossible.
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
"""Stands for the combination's index where a hash is that of the shard."""

hash_bytes = mmh3.hash_bytes


def string_seed(combination: int) -> int:
    """Seed for keys that are one JSON string (as UTF-8), or one record key or header."""
    return combination * _KINDS + _STRING


def json_seed(combination: int) -> int:
    """Seed for keys hashed as canonical JSON."""
    return combination * _KINDS + _JSON


def hash_column(texts: Iterable[bytes] | Iterable[str], seed: int) -> Hashes:
    """Hash a column of texts; strings as their UTF-8.

    Returns an array of shape (n, 2): low and high 64 bits.
    """
    return rows_of(map(hash_bytes, texts, repeat(seed)))


def rows_of(digests: Iterable[bytes]) -> Hashes:
    """Array of shape (n, 2) of hashes of 16 bytes."""
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)
