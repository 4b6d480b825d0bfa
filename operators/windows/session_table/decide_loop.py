"""Sessions decided, put, looked for and dropped, as compiled loops over columns.

How the sessions of one key hang together: `operators/windows/session_table/ring.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.jit import jit
from operators.windows.key_table.decide_loop import again
from operators.windows.key_table.index import (
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
from operators.windows.session_table.ring import (
    FIRST,
    FOLLOWS,
    HELD,
    LAST,
    REFERENCE,
    STAMP,
    Rules,
    absorb,
    before_of,
    begin_one,
    let_go,
    next_of,
    stamp,
    untie,
)

_NO_STAMPS = np.zeros(0, np.uint32)


class Sessions(NamedTuple):
    """The arrays of a store, until it grows.

    words, slots: of the index.  spans: smallest and largest event time.  numbers:
    reference, stamp, begun, ring.  free: entries to be used again.  counts: see session_ring.
    """

    words: Words
    slots: Entries
    regions: int
    keys: Hashes
    spans: Floats
    numbers: Ints
    free: Entries
    counts: Ints


class Changes(NamedTuple):
    """Room for the sessions that were begun or extended, as they became, a row each."""

    keys: Hashes
    spans: Floats
    references: Ints


@jit
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


@jit
def _note(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    changes: Changes, at: int, keys: Hashes, spans: Floats, numbers: Ints, entry: np.int64
) -> None:
    """Copy a session; one by one, as for rows numba would compile their errors too."""
    changes.keys[at, 0], changes.keys[at, 1] = keys[entry, 0], keys[entry, 1]
    changes.spans[at, FIRST], changes.spans[at, LAST] = spans[entry, FIRST], spans[entry, LAST]
    changes.references[at] = numbers[entry, REFERENCE]


@jit
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
            found, places[matching] = absorb(spans, numbers, free, counts, head, time, time, gap)
        if found >= 0:
            spans[found, FIRST] = min(spans[found, FIRST], time)
            spans[found, LAST] = max(spans[found, LAST], time)
            combination[row], originals[row] = matching, numbers[found, REFERENCE]
            if renew:
                stamp(numbers, counts, heads[matching])
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
            entry = begin_one(
                *(words, slots, group, key, head, after),
                *(keys, spans, numbers, free, counts, rules),
            )
            keys[entry, 0], keys[entry, 1] = low, high
            spans[entry, FIRST] = spans[entry, LAST] = time
            numbers[entry, REFERENCE] = references[row]
            _note(changes, changed, keys, spans, numbers, entry)
            changed += 1
    return count, changed


@jit
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
        found, after = absorb(
            spans, numbers, free, counts, head, firsts[row], lasts[row], rules.gap
        )
        if found >= 0:
            if rules.renew:
                stamp(numbers, counts, head)
        else:
            if counts[HELD] >= rules.most:
                return row
            found = begin_one(
                *(words, slots, group, key, head, after),
                *(keys, spans, numbers, free, counts, rules),
            )
            keys[found, 0], keys[found, 1] = low, high
        spans[found, FIRST], spans[found, LAST] = firsts[row], lasts[row]
        numbers[found, REFERENCE] = references[row]
        row += 1
    return row


@jit
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
            entry = head if head < 0 else before_of(numbers, head)
            while entry >= 0 and times[row] - spans[entry, LAST] < gap:
                if spans[entry, FIRST] - times[row] < gap:
                    found[row] = True
                    break
                entry = np.int64(-1) if entry == head else before_of(numbers, entry)


@jit
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
        following = next_of(numbers, gone)
        untie(numbers, gone)
        if numbers[gone, STAMP] != FOLLOWS:
            remove_one(words, slots, group, key, gone)
            if following != gone:
                add_one(words, slots, group, key, following)
                numbers[following, STAMP] = numbers[gone, STAMP]
        let_go(spans, numbers, free, counts, gone)


@jit
def drop_keys(sessions: Sessions, heads: Ints) -> None:
    """Drop keys with all their sessions, given the first of each."""
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    whole = whole_of(regions)
    for head in heads:
        key = spread_one(keys[head, 0], keys[head, 1])
        remove_one(words, slots, home(key, regions, whole), key, head)
        entry = next_of(numbers, head)
        while entry != head:
            following = next_of(numbers, entry)
            let_go(spans, numbers, free, counts, entry)
            entry = following
        let_go(spans, numbers, free, counts, head)
