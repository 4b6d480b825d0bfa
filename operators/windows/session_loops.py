"""Sessions decided, put, looked for and dropped, as compiled loops over columns.

A session is a row (entry) of columns.  Those of one key are in a ring, in the order of event
time: the index knows the first of it, and each the one before it and the one after it.  Any
two of them are a gap or more apart, so a search that begins at the last one, which most
records touch or come after, ends where a record comes after a session.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.batches import Bools, Floats, Hashes, Ints
from operators.compiled import compiled
from operators.windows.in_turn import again
from operators.windows.index import (
    AT_ONCE,
    Entries,
    Words,
    add_one,
    fetch,
    find_one,
    home,
    remove_one,
    spread_one,
    whole_of,
)

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

_NO_STAMPS = np.zeros(0, np.uint32)


class Sessions(NamedTuple):
    """The arrays of a store, until it grows.

    words, slots: of the index.  spans: smallest and largest event time.  numbers:
    reference, stamp, begun, ring.  free: entries to be used again.  counts: see above.
    """

    words: Words
    slots: Entries
    regions: int
    keys: Hashes
    spans: Floats
    numbers: Ints
    free: Entries
    counts: Ints


class Rules(NamedTuple):
    """By which sessions are decided and held.

    gap: of event times, in seconds.  most: sessions that may be held.  renew: whether a
    key is given a new stamp whenever one of its sessions changes.
    """

    gap: float
    most: int
    renew: bool


class Changes(NamedTuple):
    """Room for the sessions that were begun or extended, as they became, a row each."""

    keys: Hashes
    spans: Floats
    references: Ints


@compiled
def _let_go(spans: Floats, numbers: Ints, free: Entries, counts: Ints, entry: np.int64) -> None:
    spans[entry, LAST] = np.inf  # it never expires
    numbers[entry, STAMP] = FOLLOWS
    free[counts[FREE]] = entry
    counts[FREE] += 1
    counts[HELD] -= 1


@compiled
def _take(free: Entries, counts: Ints) -> np.int64:
    """Entry for one more session."""
    counts[HELD] += 1
    if counts[FREE] > 0:
        counts[FREE] -= 1
        return np.int64(free[counts[FREE]])
    counts[END] += 1
    return np.int64(counts[END] - 1)


@compiled
def _next(numbers: Ints, entry: np.int64) -> np.int64:
    return np.int64(numbers[entry, RING] >> NEXT_SHIFT & BEFORE_MASK)


@compiled
def _before(numbers: Ints, entry: np.int64) -> np.int64:
    return np.int64(numbers[entry, RING] & BEFORE_MASK)


@compiled
def _tie(numbers: Ints, one: np.int64, other: np.int64) -> None:
    """Have one session follow another in their ring."""
    numbers[one, RING] = other << NEXT_SHIFT | (numbers[one, RING] & BEFORE_MASK)
    numbers[other, RING] = (numbers[other, RING] & ~BEFORE_MASK) | one


@compiled
def _untie(numbers: Ints, entry: np.int64) -> None:
    _tie(numbers, _before(numbers, entry), _next(numbers, entry))


@compiled
def _stamp(numbers: Ints, counts: Ints, head: np.int64) -> None:
    numbers[head, STAMP] = counts[NOW]
    counts[NOW] += 1


@compiled
def _begin(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
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
        _stamp(numbers, counts, entry)
        add_one(words, slots, group, spread_key, entry)
    else:
        _tie(numbers, entry, _next(numbers, after if after >= 0 else head))
        _tie(numbers, after if after >= 0 else head, entry)
        numbers[entry, STAMP] = FOLLOWS
        if rules.renew:
            _stamp(numbers, counts, head)
        if after < 0:  # the index knows the head's entry: what was there moves instead
            keys[entry, 0], keys[entry, 1] = keys[head, 0], keys[head, 1]
            spans[entry, FIRST], spans[entry, LAST] = spans[head, FIRST], spans[head, LAST]
            numbers[entry, REFERENCE] = numbers[head, REFERENCE]
            numbers[entry, BEGUN] = numbers[head, BEGUN]
            entry = head
    numbers[entry, BEGUN] = counts[NOW]
    counts[NOW] += 1
    return entry


@compiled
def _join(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    spans: Floats, numbers: Ints, free: Entries, counts: Ints, one: np.int64, later: np.int64
) -> None:
    """Put a session into the one before it; the record that was decided first stays."""
    spans[one, LAST] = max(spans[one, LAST], spans[later, LAST])
    if numbers[later, BEGUN] < numbers[one, BEGUN]:
        numbers[one, BEGUN] = numbers[later, BEGUN]
        numbers[one, REFERENCE] = numbers[later, REFERENCE]
    _untie(numbers, later)
    _let_go(spans, numbers, free, counts, later)


@compiled
def _absorb(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
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
    entry = _before(numbers, head)
    while True:
        before = _before(numbers, entry)
        if first - spans[entry, LAST] >= gap:
            return found, entry
        if spans[entry, FIRST] - last < gap:
            if found >= 0:
                _join(spans, numbers, free, counts, entry, found)
            found = entry
        if entry == head:
            return found, after
        entry = before


@compiled
def _fetch(
    sessions: Sessions, hashes: Hashes, groups: Ints, spread_keys: Words, fetched: Words
) -> None:
    """Fetch what the searches for the keys of some records will look at."""
    whole = whole_of(sessions.regions)
    coming = 0
    for row in range(len(hashes)):
        for combination in range(hashes.shape[1]):
            key = spread_one(hashes[row, combination, 0], hashes[row, combination, 1])
            spread_keys[coming], groups[coming] = key, home(key, sessions.regions, whole)
            coming += 1
    references, lasts = sessions.numbers[:, REFERENCE], sessions.spans[:, LAST]
    soon, soon_keys = groups[:coming], spread_keys[:coming]
    fetch(
        sessions.words, sessions.slots, sessions.keys, references, lasts, soon, soon_keys, fetched
    )


@compiled
def _note(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    changes: Changes, at: int, keys: Hashes, spans: Floats, numbers: Ints, entry: np.int64
) -> None:
    """Copy a session; one by one, as for rows numba would compile their errors too."""
    changes.keys[at, 0], changes.keys[at, 1] = keys[entry, 0], keys[entry, 1]
    changes.spans[at, FIRST], changes.spans[at, LAST] = spans[entry, FIRST], spans[entry, LAST]
    changes.references[at] = numbers[entry, REFERENCE]


@compiled
def decide(  # noqa: PLR0913, PLR0917 - one loop, compiled whole
    sessions: Sessions,
    hashes: Hashes,
    times: Floats,
    references: Ints,
    rules: Rules,
    row: int,
    changed: int,
    combination: npt.NDArray[np.int8],
    originals: Ints,
    changes: Changes,
) -> tuple[int, int]:
    """Decide records from a row on: extend and join the sessions that they touch, or begin some.

    It ends before the first record for whose keys there is no room.  Answers are put into
    combination and originals, what changed into changes.  Returns the row where it ended,
    and how many changed, given how many there were.
    """
    # Arrays by themselves: as parts of a tuple each use of one would count references.
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    gap, most, renew = rules.gap, rules.most, rules.renew
    whole = whole_of(regions)
    combinations, count, begin = hashes.shape[1], len(times), row
    groups, spread_keys = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.uint64)
    fetched = np.empty(AT_ONCE, np.uint64)
    at_once = max(1, AT_ONCE // combinations)
    heads, places = np.empty(combinations, np.int64), np.empty(combinations, np.int64)
    for row in range(begin, count):  # noqa: PLR1704 - where it ends is what is returned
        if (row - begin) % at_once == 0 and combinations <= AT_ONCE:
            rows = slice(row, min(row + at_once, count))
            _fetch(sessions, hashes[rows], groups, spread_keys, fetched)
        time = times[row]
        found = np.int64(-1)
        matching = -1
        while found < 0 and matching + 1 < combinations:
            matching += 1
            low, high = hashes[row, matching, 0], hashes[row, matching, 1]
            key = spread_one(low, high)
            group = home(key, regions, whole)
            head = find_one(words, slots, group, key, low, high, keys, _NO_STAMPS)
            heads[matching] = head
            found, places[matching] = _absorb(spans, numbers, free, counts, head, time, time, gap)
        if found >= 0:
            spans[found, FIRST] = min(spans[found, FIRST], time)
            spans[found, LAST] = max(spans[found, LAST], time)
            combination[row], originals[row] = matching, numbers[found, REFERENCE]
            if renew:
                _stamp(numbers, counts, heads[matching])
            _note(changes, changed, keys, spans, numbers, found)
            changed += 1
            continue
        wanted = combinations
        for index in range(1, combinations):
            wanted -= again(hashes, row, index)
        if counts[HELD] + wanted > most:
            return row, changed
        for index in range(combinations):
            if again(hashes, row, index):
                continue
            low, high = hashes[row, index, 0], hashes[row, index, 1]
            key = spread_one(low, high)
            group = home(key, regions, whole)
            head, after = heads[index], places[index]
            entry = _begin(
                *(words, slots, group, key, head, after),
                *(keys, spans, numbers, free, counts, rules),
            )
            keys[entry, 0], keys[entry, 1] = low, high
            spans[entry, FIRST] = spans[entry, LAST] = time
            numbers[entry, REFERENCE] = references[row]
            _note(changes, changed, keys, spans, numbers, entry)
            changed += 1
    return count, changed


@compiled
def put(  # noqa: PLR0913, PLR0917 - columns, and where they go
    sessions: Sessions,
    wanted: Hashes,
    firsts: Floats,
    lasts: Floats,
    references: Ints,
    rules: Rules,
    row: int,
) -> int:
    """Put sessions, as they became, into the place of those that went into them.

    wanted: their keys.  It ends before the first for which there is no room.  Returns the
    row where it ended.
    """
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    whole = whole_of(regions)
    while row < len(wanted):
        low, high = wanted[row, 0], wanted[row, 1]
        key = spread_one(low, high)
        group = home(key, regions, whole)
        head = find_one(words, slots, group, key, low, high, keys, _NO_STAMPS)
        found, after = _absorb(
            spans, numbers, free, counts, head, firsts[row], lasts[row], rules.gap
        )
        if found >= 0:
            if rules.renew:
                _stamp(numbers, counts, head)
        else:
            if counts[HELD] >= rules.most:
                return row
            found = _begin(
                *(words, slots, group, key, head, after),
                *(keys, spans, numbers, free, counts, rules),
            )
            keys[found, 0], keys[found, 1] = low, high
        spans[found, FIRST], spans[found, LAST] = firsts[row], lasts[row]
        numbers[found, REFERENCE] = references[row]
        row += 1
    return row


@compiled
def touched(sessions: Sessions, hashes: Hashes, times: Floats, gap: float, found: Bools) -> None:
    """Tell in `found` which records touch a session, by any of their keys."""
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers = sessions.spans, sessions.numbers
    whole = whole_of(regions)
    for row in range(len(times)):
        for combination in range(hashes.shape[1]):
            low, high = hashes[row, combination, 0], hashes[row, combination, 1]
            key = spread_one(low, high)
            group = home(key, regions, whole)
            head = find_one(words, slots, group, key, low, high, keys, _NO_STAMPS)
            entry = head if head < 0 else _before(numbers, head)
            while entry >= 0 and times[row] - spans[entry, LAST] < gap:
                if spans[entry, FIRST] - times[row] < gap:
                    found[row] = True
                    break
                entry = np.int64(-1) if entry == head else _before(numbers, entry)


@compiled
def drop(sessions: Sessions, entries: Ints, gap: float, horizon: float) -> None:
    """Drop those of some entries that no record at the horizon or after it can touch.

    What became of an entry since it was looked for is looked at again.
    """
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    whole = whole_of(regions)
    for gone in entries:
        if not horizon - spans[gone, LAST] >= gap:  # nor one that is free by now
            continue
        low, high = keys[gone, 0], keys[gone, 1]
        key = spread_one(low, high)
        group = home(key, regions, whole)
        following = _next(numbers, gone)
        _untie(numbers, gone)
        if numbers[gone, STAMP] != FOLLOWS:
            remove_one(words, slots, group, key, gone)
            if following != gone:
                add_one(words, slots, group, key, following)
                numbers[following, STAMP] = numbers[gone, STAMP]
        _let_go(spans, numbers, free, counts, gone)


@compiled
def drop_keys(sessions: Sessions, heads: Ints) -> None:
    """Drop keys with all their sessions, given the first of each."""
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    whole = whole_of(regions)
    for head in heads:
        key = spread_one(keys[head, 0], keys[head, 1])
        remove_one(words, slots, home(key, regions, whole), key, head)
        entry = _next(numbers, head)
        while entry != head:
            following = _next(numbers, entry)
            _let_go(spans, numbers, free, counts, entry)
            entry = following
        _let_go(spans, numbers, free, counts, head)
