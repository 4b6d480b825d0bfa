"""The sessions of a key, as a ring of rows: taken, tied, joined, looked for.

A session is a row (entry) of columns.  Those of one key are in a ring, in the order of event
time: the index knows the first of it, and each the one before it and the one after it.  Any
two of them are a gap or more apart, so a search that begins at the last one, which most
records touch or come after, ends where a record comes after a session.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.jit import jit
from operators.windows.key_table.index import Entries, Words, add_one

# Columns of `spans`.
FIRST, LAST = 0, 1
# Columns of `numbers`.  STAMP: a running number from when the key was added or renewed, in
# its first session.  BEGUN: one from when the session was begun, or the first of those that
# went into it.  RING: entries of the next one (high) and the one before (low).
REFERENCE, STAMP, BEGUN, RING = 0, 1, 2, 3
FOLLOWS = -1
"""Stamp of a session that is not its key's first, and of an entry that is free."""
# Places in `counts`: first entry never used, free ones before it, sessions held, next number.
END, FREE, HELD, NOW = 0, 1, 2, 3

NEXT_SHIFT = 32
BEFORE_MASK = (1 << NEXT_SHIFT) - 1


class Rules(NamedTuple):
    """By which sessions are decided and held.

    gap: of event times, in seconds.  most: sessions that may be held.  renew: whether a
    key is given a new stamp whenever one of its sessions changes.
    """

    gap: float
    most: int
    renew: bool


@jit
def let_go(spans: Floats, numbers: Ints, free: Entries, counts: Ints, entry: np.int64) -> None:
    """Free the entry of a session that is in no ring any more."""
    spans[entry, LAST] = np.inf  # it never expires
    numbers[entry, STAMP] = FOLLOWS
    free[counts[FREE]] = entry
    counts[FREE] += 1
    counts[HELD] -= 1


@jit
def _take(free: Entries, counts: Ints) -> np.int64:
    """Entry for one more session."""
    counts[HELD] += 1
    if counts[FREE] > 0:
        counts[FREE] -= 1
        return np.int64(free[counts[FREE]])
    counts[END] += 1
    return np.int64(counts[END] - 1)


@jit
def next_of(numbers: Ints, entry: np.int64) -> np.int64:
    """Entry of the session after one; after the last one comes the first."""
    return np.int64(numbers[entry, RING] >> NEXT_SHIFT & BEFORE_MASK)


@jit
def before_of(numbers: Ints, entry: np.int64) -> np.int64:
    """Entry of the session before one; before the first one comes the last."""
    return np.int64(numbers[entry, RING] & BEFORE_MASK)


@jit
def _tie(numbers: Ints, one: np.int64, other: np.int64) -> None:
    """Have one session follow another in their ring."""
    numbers[one, RING] = other << NEXT_SHIFT | (numbers[one, RING] & BEFORE_MASK)
    numbers[other, RING] = (numbers[other, RING] & ~BEFORE_MASK) | one


@jit
def untie(numbers: Ints, entry: np.int64) -> None:
    """Take a session out of its ring."""
    _tie(numbers, before_of(numbers, entry), next_of(numbers, entry))


@jit
def stamp(numbers: Ints, counts: Ints, head: np.int64) -> None:
    """Give a key the next stamp, by its first session."""
    numbers[head, STAMP] = counts[NOW]
    counts[NOW] += 1


@jit
def begin_one(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    group: np.int64,
    spread_key: np.uint64,
    head: np.int64,
    after: np.int64,
    keys: Hashes,
    spans: Floats,
    numbers: Ints,
    free: Entries,
    counts: Ints,
    rules: Rules,
) -> np.int64:
    """Make room for a session of a key that is after another, or before all; return its entry.

    head: the first of the key's sessions, −1 for none.  after: −1 for before all.  The entry
    has no key, span and reference yet.
    """
    entry = _take(free, counts)
    if head < 0:
        _tie(numbers, entry, entry)
        stamp(numbers, counts, entry)
        add_one(words, slots, group, spread_key, entry)
    else:
        _tie(numbers, entry, next_of(numbers, after if after >= 0 else head))
        _tie(numbers, after if after >= 0 else head, entry)
        numbers[entry, STAMP] = FOLLOWS
        if rules.renew:
            stamp(numbers, counts, head)
        if after < 0:  # the index knows the head's entry: what was there moves instead
            keys[entry, 0], keys[entry, 1] = keys[head, 0], keys[head, 1]
            spans[entry, FIRST], spans[entry, LAST] = spans[head, FIRST], spans[head, LAST]
            numbers[entry, REFERENCE] = numbers[head, REFERENCE]
            numbers[entry, BEGUN] = numbers[head, BEGUN]
            entry = head
    numbers[entry, BEGUN] = counts[NOW]
    counts[NOW] += 1
    return entry


@jit
def _join(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    spans: Floats, numbers: Ints, free: Entries, counts: Ints, one: np.int64, later: np.int64
) -> None:
    """Put a session into the one before it; the record that was decided first stays."""
    spans[one, LAST] = max(spans[one, LAST], spans[later, LAST])
    if numbers[later, BEGUN] < numbers[one, BEGUN]:
        numbers[one, BEGUN] = numbers[later, BEGUN]
        numbers[one, REFERENCE] = numbers[later, REFERENCE]
    untie(numbers, later)
    let_go(spans, numbers, free, counts, later)


@jit
def absorb(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    spans: Floats,
    numbers: Ints,
    free: Entries,
    counts: Ints,
    head: np.int64,
    first: float,
    last: float,
    gap: float,
) -> tuple[np.int64, np.int64]:
    """Join the sessions of a key that a span touches.

    Returns what they became, −1 for none, and the last one that is before the span.
    """
    found, after = np.int64(-1), np.int64(-1)
    if head < 0:
        return found, after
    entry = before_of(numbers, head)
    while True:
        before = before_of(numbers, entry)
        if first - spans[entry, LAST] >= gap:
            return found, entry
        if spans[entry, FIRST] - last < gap:
            if found >= 0:
                _join(spans, numbers, free, counts, entry, found)
            found = entry
        if entry == head:
            return found, after
        entry = before
