"""Records of one batch that repeat each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.columns.arrays import Bools, Codes, Ints


def shares_key(first: Ints, combinations: int) -> Bools:
    """Tell which records have a key that another record of the batch has, or have one twice.

    first: `first_occurrences` of all keys of the batch, record by record.
    """
    shared = np.zeros(len(first), np.bool_)
    repeats = np.flatnonzero(first != np.arange(len(first)))
    shared[repeats] = True
    shared[first[repeats]] = True
    rows: Bools = np.logical_or.reduce(shared.reshape(-1, combinations), axis=1)
    return rows


@dataclass(slots=True)
class Resolution:
    """Which records of a batch repeat what, given which of their keys are held.

    chosen: combination that matched, −1 for none.  sources: row of the batch that is
    repeated, −1 for none or if the key is held.  added: keys to be added, as row ·
    combinations + combination, in order.
    """

    chosen: Codes
    sources: Ints
    added: Ints


def resolve(held: Bools, first: Ints) -> Resolution:
    """Decide records whose keys are either held or not.

    held: shape (n, combinations).  first: `first_occurrences` of all keys of the batch,
    record by record.
    """
    count, combinations = held.shape
    if combinations == 1:
        rows = np.arange(count)
        repeats = held[:, 0] | (first != rows)
        return Resolution(
            chosen=repeats.astype(np.int8) - np.int8(1),
            sources=np.where(repeats & ~held[:, 0], first, -1),
            added=rows[~repeats],
        )
    known = np.logical_or.reduce(held, axis=1)
    chosen = np.where(known, held.argmax(axis=1), -1).astype(np.int8)
    sources = np.full(count, -1)
    # Records that share a key depend on each other, so they are decided one after the
    # other.  Only a unique record adds keys, and it adds all of them.
    owners: dict[int, int] = {}
    twice: list[int] = []
    for row in np.flatnonzero(shares_key(first, combinations)).tolist():
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
    return Resolution(chosen, sources, np.setdiff1d(added, twice) if twice else added)
