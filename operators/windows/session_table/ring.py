"""The sessions of one key, linked as a ring of rows.

A session is a row (entry) of columns.  The sessions of a key form a ring in the order of
event time.  The index knows the first one (the head), and each one knows its neighbours.  Any
two sessions are a gap or more apart.  So a search begins at the last session, which most
records touch or come after, and ends at the first session that is before the record.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.jit import jit
from operators.windows.key_table.probing import Entries, Words, add_entry

# Columns of `spans`.
FIRST, LAST = 0, 1
# Columns of `numbers`.  STAMP: in the head, a running number from when the key was added or
# renewed.  BEGUN: a running number from when the session began; a merged session has the
# smallest.  RING: entries of the next session (high half) and of the previous one (low half).
REFERENCE, STAMP, BEGUN, RING = 0, 1, 2, 3
FOLLOWS = -1
"""Stamp of a session that is not the head of its key, and of a free entry."""
# Places in `counts`: first entry never used, free entries before it, sessions held, next number.
END, FREE, HELD, NOW = 0, 1, 2, 3

NEXT_SHIFT = 32
BEFORE_MASK = (1 << NEXT_SHIFT) - 1


class Rules(NamedTuple):
    """The rules by which sessions are decided and held.

    gap: of event times, in seconds.  max_sessions: that may be held.  renew: whether a
    key gets a new stamp whenever one of its sessions changes.
    """

    gap: float
    max_sessions: int
    renew: bool


@jit
def release(spans: Floats, numbers: Ints, free: Entries, counts: Ints, entry: np.int64) -> None:
    """Free the entry of a session that is in no ring any more."""
    spans[entry, LAST] = np.inf  # so it never expires
    numbers[entry, STAMP] = FOLLOWS
    free[counts[FREE]] = entry
    counts[FREE] += 1
    counts[HELD] -= 1


@jit
def _take(free: Entries, counts: Ints) -> np.int64:
    """Return an entry for one more session."""
    counts[HELD] += 1
    if counts[FREE] > 0:
        counts[FREE] -= 1
        return np.int64(free[counts[FREE]])
    counts[END] += 1
    return np.int64(counts[END] - 1)


@jit
def next_of(numbers: Ints, entry: np.int64) -> np.int64:
    """Return the entry of the next session; after the last one comes the first."""
    return np.int64(numbers[entry, RING] >> NEXT_SHIFT & BEFORE_MASK)


@jit
def before_of(numbers: Ints, entry: np.int64) -> np.int64:
    """Return the entry of the previous session; before the first one comes the last."""
    return np.int64(numbers[entry, RING] & BEFORE_MASK)


@jit
def _link(numbers: Ints, earlier: np.int64, later: np.int64) -> None:
    """Make two sessions neighbours in their ring."""
    numbers[earlier, RING] = later << NEXT_SHIFT | (numbers[earlier, RING] & BEFORE_MASK)
    numbers[later, RING] = (numbers[later, RING] & ~BEFORE_MASK) | earlier


@jit
def unlink(numbers: Ints, entry: np.int64) -> None:
    """Take a session out of its ring."""
    _link(numbers, before_of(numbers, entry), next_of(numbers, entry))


@jit
def stamp(numbers: Ints, counts: Ints, head: np.int64) -> None:
    """Give a key the next stamp; its head holds it."""
    numbers[head, STAMP] = counts[NOW]
    counts[NOW] += 1


@jit
def begin_session(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    group: np.int64,
    mixed: np.uint64,
    head: np.int64,
    after: np.int64,
    keys: Hashes,
    spans: Floats,
    numbers: Ints,
    free: Entries,
    counts: Ints,
    rules: Rules,
) -> np.int64:
    """Link a new session into its key's ring; return its entry.

    head: the key's first session, −1 for none.  after: the session before the new one, −1
    if the new one is the first.  The caller fills in key, span and reference.
    """
    entry = _take(free, counts)
    if head < 0:
        _link(numbers, entry, entry)
        stamp(numbers, counts, entry)
        add_entry(words, slots, group, mixed, entry)
    else:
        _link(numbers, entry, next_of(numbers, after if after >= 0 else head))
        _link(numbers, after if after >= 0 else head, entry)
        numbers[entry, STAMP] = FOLLOWS
        if rules.renew:
            stamp(numbers, counts, head)
        if after < 0:  # the index points to the head's entry, so the old head moves instead
            keys[entry, 0], keys[entry, 1] = keys[head, 0], keys[head, 1]
            spans[entry, FIRST], spans[entry, LAST] = spans[head, FIRST], spans[head, LAST]
            numbers[entry, REFERENCE] = numbers[head, REFERENCE]
            numbers[entry, BEGUN] = numbers[head, BEGUN]
            entry = head
    numbers[entry, BEGUN] = counts[NOW]
    counts[NOW] += 1
    return entry


@jit
def _merge(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    spans: Floats, numbers: Ints, free: Entries, counts: Ints, earlier: np.int64, later: np.int64
) -> None:
    """Merge a session into the one before it, which keeps the record that was decided first."""
    spans[earlier, LAST] = max(spans[earlier, LAST], spans[later, LAST])
    if numbers[later, BEGUN] < numbers[earlier, BEGUN]:
        numbers[earlier, BEGUN] = numbers[later, BEGUN]
        numbers[earlier, REFERENCE] = numbers[later, REFERENCE]
    unlink(numbers, later)
    release(spans, numbers, free, counts, later)


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
    """Merge the sessions of a key that a span touches.

    Returns the entry of the merged session, −1 if the span touches none, and the entry of
    the last session before the span, −1 for none.
    """
    merged, after = np.int64(-1), np.int64(-1)
    if head < 0:
        return merged, after
    entry = before_of(numbers, head)
    while True:
        before = before_of(numbers, entry)
        if first - spans[entry, LAST] >= gap:
            return merged, entry
        if spans[entry, FIRST] - last < gap:
            if merged >= 0:
                _merge(spans, numbers, free, counts, entry, merged)
            merged = entry
        if entry == head:
            return merged, after
        entry = before
