"""Keys that occur more than once in a batch."""

from __future__ import annotations

import numpy as np

from operators.batches import Bools, Hashes, Ints

# Slots for each key, so that few different keys meet in one.
_SLOTS_A_KEY = 8
_MULTIPLIERS = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))


def first_occurrences(keys: Hashes) -> Ints:
    """For each key of a batch the first row that has it: the row itself where there is none before.

    keys: shape (n, 2).
    """
    first = np.arange(len(keys))
    rows = first
    words = keys[:, 0] ^ (keys[:, 1] << np.uint64(1))
    round_ = 0
    while len(rows) > 1:
        bits = (len(rows) * _SLOTS_A_KEY).bit_length()
        mixed = words * _MULTIPLIERS[round_ % 2]
        slots = (mixed >> np.uint64(64 - bits)).view(np.int64)
        # Of several rows the last one written stays: written backwards, the first.
        owner = np.empty(1 << bits, np.int64)
        owner[slots[::-1]] = rows[::-1]
        owners = owner[slots]
        behind = np.flatnonzero(owners != rows)
        if not len(behind):
            break
        rows, owners, words = rows[behind], owners[behind], mixed[behind]
        same = (keys[rows] == keys[owners]).all(axis=1)
        first[rows[same]] = owners[same]
        # A slot that another key owns: all rows with this key lost it, and try again.
        rows, words = rows[~same], words[~same]
        words ^= words >> np.uint64(29)
        if round_ > 1:
            words ^= keys[rows, round_ % 2]
        round_ += 1
    return first


def sharing(first: Ints, combinations: int) -> Bools:
    """Tell which records have a key that another of the batch has too, or they themselves twice.

    first: of `first_occurrences`, for all keys of the batch, record by record.
    """
    repeated = np.zeros(len(first), np.bool_)
    again = np.flatnonzero(first != np.arange(len(first)))
    repeated[again] = True
    repeated[first[again]] = True
    rows: Bools = np.logical_or.reduce(repeated.reshape(-1, combinations), axis=1)
    return rows
