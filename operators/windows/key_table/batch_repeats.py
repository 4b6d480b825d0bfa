"""Records of a batch that repeat each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.batches import Bools, Hashes, Ints
from operators.columns.jit import compiled
from operators.verdicts import Codes

# Slots for each key, so that few different keys meet in one.
_SLOTS_A_KEY = 4
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_ONE, _WORD_BITS = np.uint64(1), np.uint64(64)


def first_occurrences(keys: Hashes) -> Ints:
    """For each key of a batch the first row that has it: the row itself where there is none before.

    keys: shape (n, 2).
    """
    first = np.empty(len(keys), np.int64)
    bits = (len(keys) * _SLOTS_A_KEY).bit_length()
    _find_first(keys, bits, np.full(1 << bits, -1, np.int32), first)
    return first


@compiled
def _find_first(keys: Hashes, bits: int, owners: npt.NDArray[np.int32], first: Ints) -> None:
    """owners: a free slot (−1) for each number of so many bits."""
    last = np.int64(len(owners) - 1)
    for row in range(len(keys)):
        low, high = keys[row, 0], keys[row, 1]
        slot = np.int64(((low ^ high << _ONE) * _SPREAD) >> (_WORD_BITS - np.uint64(bits)))
        step = np.int64(high >> _ONE) | 1  # odd: it comes by all slots
        owner = owners[slot]
        while owner >= 0 and (keys[owner, 0] != low or keys[owner, 1] != high):
            slot = (slot + step) & last
            owner = owners[slot]
        if owner < 0:
            owner = owners[slot] = row
        first[row] = owner


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
