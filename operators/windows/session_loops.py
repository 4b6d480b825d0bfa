"""Sessions decided, put, looked for and dropped, as compiled loops over columns.

A session is a row (entry) of columns.  Those of one key hang together in the order in which
they were begun: the index knows the first, and each the one after it.
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
# its first session.  NEXT: entry of the key's next session, and one; 0 for none.
REFERENCE, STAMP, NEXT = 0, 1, 2
FOLLOWS = -1
"""Stamp of a session that is not its key's first, and of an entry that is free."""
# Places in `counts`: first entry never used, free ones before it, sessions held, next stamp.
END, FREE, HELD, NOW = 0, 1, 2, 3

_NO_STAMPS = np.zeros(0, np.uint32)


class Sessions(NamedTuple):
    """The arrays of a store, until it grows.

    words, slots: of the index.  spans: smallest and largest event time.  numbers:
    reference, stamp, next.  free: entries to be used again.  counts: see above.
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
    numbers: Ints,
    counts: Ints,
    entry: np.int64,
    rules: Rules,
) -> None:
    """Hang a session to the others of its key; head: the first of these, −1 for none."""
    numbers[entry, NEXT] = 0
    if head < 0:
        _stamp(numbers, counts, entry)
        add_one(words, slots, group, spread_key, entry)
        return
    numbers[entry, STAMP] = FOLLOWS
    tail = head
    while numbers[tail, NEXT] != 0:
        tail = numbers[tail, NEXT] - 1
    numbers[tail, NEXT] = entry + 1
    if rules.renew:
        _stamp(numbers, counts, head)


@compiled
def _touches(spans: Floats, entry: np.int64, time: float, gap: float) -> bool:
    return bool(spans[entry, FIRST] - time < gap) and bool(time - spans[entry, LAST] < gap)


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
def decide(  # noqa: C901, PLR0913, PLR0915, PLR0917 - one loop, compiled whole
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
    heads = np.empty(combinations, np.int64)
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
            before, entry = head, head
            while entry >= 0:
                following = numbers[entry, NEXT] - 1
                if _touches(spans, entry, time, gap):
                    if found >= 0:  # both go into the one that was begun first
                        spans[found, FIRST] = min(spans[found, FIRST], spans[entry, FIRST])
                        spans[found, LAST] = max(spans[found, LAST], spans[entry, LAST])
                        numbers[before, NEXT] = following + 1
                        _let_go(spans, numbers, free, counts, entry)
                        entry = following
                        continue
                    found = entry
                before, entry = entry, following
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
            entry = _take(free, counts)
            keys[entry, 0], keys[entry, 1] = low, high
            spans[entry, FIRST] = spans[entry, LAST] = time
            numbers[entry, REFERENCE] = references[row]
            _begin(words, slots, group, key, heads[index], numbers, counts, entry, rules)
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
        found, before, entry = np.int64(-1), head, head
        while entry >= 0:
            following = numbers[entry, NEXT] - 1
            if firsts[row] <= spans[entry, FIRST] and spans[entry, LAST] <= lasts[row]:
                if found >= 0:
                    numbers[before, NEXT] = following + 1
                    _let_go(spans, numbers, free, counts, entry)
                    entry = following
                    continue
                found = entry
            before, entry = entry, following
        if found >= 0:
            if rules.renew:
                _stamp(numbers, counts, head)
        else:
            if counts[HELD] >= rules.most:
                return row
            found = _take(free, counts)
            keys[found, 0], keys[found, 1] = low, high
            _begin(words, slots, group, key, head, numbers, counts, found, rules)
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
            entry = find_one(words, slots, group, key, low, high, keys, _NO_STAMPS)
            while entry >= 0 and not found[row]:
                found[row] = _touches(spans, entry, times[row], gap)
                entry = numbers[entry, NEXT] - 1


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
        following = numbers[gone, NEXT] - 1
        if numbers[gone, STAMP] == FOLLOWS:
            before = find_one(words, slots, group, key, low, high, keys, _NO_STAMPS)
            while numbers[before, NEXT] - 1 != gone:
                before = numbers[before, NEXT] - 1
            numbers[before, NEXT] = following + 1
        else:
            remove_one(words, slots, group, key, gone)
            if following >= 0:
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
        entry = head
        while entry >= 0:
            following = numbers[entry, NEXT] - 1
            _let_go(spans, numbers, free, counts, entry)
            entry = following
