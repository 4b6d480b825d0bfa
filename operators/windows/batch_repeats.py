"""Records of a batch that repeat each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.batches import Bools, Hashes, Ints
from operators.verdicts import Codes

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


@dataclass(slots=True)
class Settled:
    """What becomes of records, given which of their keys are held.

    chosen: combination that matched, −1 for none.  sources: row of the batch that is
    repeated, −1 for none or where the key is held.  added: keys to be added, as row ·
    combinations + combination, in order.
    """

    chosen: Codes
    sources: Ints
    added: Ints


def settle(held: Bools, first: Ints) -> Settled:
    """Decide records where a key is either held or not.

    held: shape (n, combinations).  first: of `first_occurrences`, for all keys of the
    batch, record by record.
    """
    count, combinations = held.shape
    if combinations == 1:
        rows = np.arange(count)
        repeats = held[:, 0] | (first != rows)
        return Settled(
            chosen=repeats.astype(np.int8) - np.int8(1),
            sources=np.where(repeats & ~held[:, 0], first, -1),
            added=rows[~repeats],
        )
    known = np.logical_or.reduce(held, axis=1)
    chosen = np.where(known, held.argmax(axis=1), -1).astype(np.int8)
    sources = np.full(count, -1)
    # Records that share a key hang on each other: one after the other.  Only a unique
    # one adds keys, and it adds all of them.
    owners: dict[int, int] = {}
    twice: list[int] = []
    for row in np.flatnonzero(sharing(first, combinations)).tolist():
        keys = first[row * combinations : (row + 1) * combinations].tolist()
        for index, key in enumerate(keys):
            if held[row, index]:
                break
            if key in owners:
                chosen[row], sources[row] = index, owners[key]
                break
        else:
            owners.update(dict.fromkeys(keys, row))
            twice += [row * combinations + i for i, key in enumerate(keys) if key in keys[:i]]
    unique = np.flatnonzero(chosen < 0)[:, None]
    added = (unique * combinations + np.arange(combinations)).reshape(-1)
    return Settled(chosen, sources, np.setdiff1d(added, twice) if twice else added)
