"""Compiled loops that decide, replace, find and drop sessions in columns.

The sessions of one key form a ring: `operators/windows/session_table/ring.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.jit import jit
from operators.windows.key_table.decide_loop import key_seen_in_record
from operators.windows.key_table.probing import (
    PREFETCHED_KEYS,
    Entries,
    Words,
    add_entry,
    fetch,
    find_key,
    home,
    mix_key,
    next_power_of_two,
    remove_entry,
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
    begin_session,
    next_of,
    release,
    stamp,
    unlink,
)

_NO_STAMPS = np.zeros(0, np.uint32)


class Sessions(NamedTuple):
    """The arrays of a store, until it grows.

    words, slots: of the index.  spans: smallest and largest event time.  numbers:
    reference, stamp, begun, ring.  free: entries that can be used again.  counts: see ring.py.
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
    """Arrays that take the sessions that began or were extended, as they became, a row each."""

    keys: Hashes
    spans: Floats
    references: Ints


@jit
def _fetch(
    sessions: Sessions, hashes: Hashes, groups: Ints, mixed_keys: Words, fetched: Words
) -> None:
    """Read the memory that the searches for the keys of some records will look at."""
    power = next_power_of_two(sessions.regions)
    count = 0
    for row in range(len(hashes)):
        for combination in range(hashes.shape[1]):
            mixed = mix_key(hashes[row, combination, 0], hashes[row, combination, 1])
            mixed_keys[count], groups[count] = mixed, home(mixed, sessions.regions, power)
            count += 1
    references, lasts = sessions.numbers[:, REFERENCE], sessions.spans[:, LAST]
    group_part, mixed_part = groups[:count], mixed_keys[:count]
    fetch(
        sessions.words,
        sessions.slots,
        sessions.keys,
        references,
        lasts,
        group_part,
        mixed_part,
        fetched,
    )


@jit
def _note(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    changes: Changes, at: int, keys: Hashes, spans: Floats, numbers: Ints, entry: np.int64
) -> None:
    """Copy a session.

    Element by element: for slices numba would also compile shape-error handling.
    """
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
    """Decide records from a row on: extend and merge the sessions that they touch, or begin some.

    It ends before the first record whose keys have no room.  combination, originals and
    changes take the results.  changed: rows of `changes` filled before.  Returns the row
    where it ended, and how many rows of `changes` are filled then.
    """
    # Plain arrays: reading one out of a tuple changes its reference count each time.
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    gap, max_sessions, renew = rules.gap, rules.max_sessions, rules.renew
    power = next_power_of_two(regions)
    combinations, count, begin = hashes.shape[1], len(times), row
    groups, mixed_keys = np.empty(PREFETCHED_KEYS, np.int64), np.empty(PREFETCHED_KEYS, np.uint64)
    fetched = np.empty(PREFETCHED_KEYS, np.uint64)
    step = max(1, PREFETCHED_KEYS // combinations)
    heads, places = np.empty(combinations, np.int64), np.empty(combinations, np.int64)
    for row in range(begin, count):  # noqa: PLR1704 - the row where it ends is returned
        if (row - begin) % step == 0 and combinations <= PREFETCHED_KEYS:
            rows = slice(row, min(row + step, count))
            _fetch(sessions, hashes[rows], groups, mixed_keys, fetched)
        time = times[row]
        entry = np.int64(-1)
        matching = -1
        while entry < 0 and matching + 1 < combinations:
            matching += 1
            low, high = hashes[row, matching, 0], hashes[row, matching, 1]
            mixed = mix_key(low, high)
            group = home(mixed, regions, power)
            head = find_key(words, slots, group, mixed, low, high, keys, _NO_STAMPS)
            heads[matching] = head
            entry, places[matching] = absorb(spans, numbers, free, counts, head, time, time, gap)
        if entry >= 0:
            spans[entry, FIRST] = min(spans[entry, FIRST], time)
            spans[entry, LAST] = max(spans[entry, LAST], time)
            combination[row], originals[row] = matching, numbers[entry, REFERENCE]
            if renew:
                stamp(numbers, counts, heads[matching])
            _note(changes, changed, keys, spans, numbers, entry)
            changed += 1
            continue
        new_keys = combinations
        for index in range(1, combinations):
            new_keys -= key_seen_in_record(hashes, row, index)
        if counts[HELD] + new_keys > max_sessions:
            return row, changed
        for index in range(combinations):
            if key_seen_in_record(hashes, row, index):
                continue
            low, high = hashes[row, index, 0], hashes[row, index, 1]
            mixed = mix_key(low, high)
            group = home(mixed, regions, power)
            head, after = heads[index], places[index]
            entry = begin_session(
                *(words, slots, group, mixed, head, after),
                *(keys, spans, numbers, free, counts, rules),
            )
            keys[entry, 0], keys[entry, 1] = low, high
            spans[entry, FIRST] = spans[entry, LAST] = time
            numbers[entry, REFERENCE] = references[row]
            _note(changes, changed, keys, spans, numbers, entry)
            changed += 1
    return count, changed


@jit
def put(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    sessions: Sessions,
    new_keys: Hashes,
    firsts: Floats,
    lasts: Floats,
    references: Ints,
    rules: Rules,
    row: int,
) -> int:
    """Put sessions in the place of those that they absorbed.

    new_keys: of these sessions.  It ends before the first session that has no room.
    Returns the row where it ended.
    """
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    power = next_power_of_two(regions)
    while row < len(new_keys):
        low, high = new_keys[row, 0], new_keys[row, 1]
        mixed = mix_key(low, high)
        group = home(mixed, regions, power)
        head = find_key(words, slots, group, mixed, low, high, keys, _NO_STAMPS)
        entry, after = absorb(
            spans, numbers, free, counts, head, firsts[row], lasts[row], rules.gap
        )
        if entry >= 0:
            if rules.renew:
                stamp(numbers, counts, head)
        else:
            if counts[HELD] >= rules.max_sessions:
                return row
            entry = begin_session(
                *(words, slots, group, mixed, head, after),
                *(keys, spans, numbers, free, counts, rules),
            )
            keys[entry, 0], keys[entry, 1] = low, high
        spans[entry, FIRST], spans[entry, LAST] = firsts[row], lasts[row]
        numbers[entry, REFERENCE] = references[row]
        row += 1
    return row


@jit
def find_touched(
    sessions: Sessions, hashes: Hashes, times: Floats, gap: float, touched: Bools
) -> None:
    """Tell in `touched` which records touch a session by any of their keys."""
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers = sessions.spans, sessions.numbers
    power = next_power_of_two(regions)
    for row in range(len(times)):
        for combination in range(hashes.shape[1]):
            low, high = hashes[row, combination, 0], hashes[row, combination, 1]
            mixed = mix_key(low, high)
            group = home(mixed, regions, power)
            head = find_key(words, slots, group, mixed, low, high, keys, _NO_STAMPS)
            entry = head if head < 0 else before_of(numbers, head)
            while entry >= 0 and times[row] - spans[entry, LAST] < gap:
                if spans[entry, FIRST] - times[row] < gap:
                    touched[row] = True
                    break
                entry = np.int64(-1) if entry == head else before_of(numbers, entry)


@jit
def drop(sessions: Sessions, entries: Ints, gap: float, horizon: float) -> None:
    """Drop the entries that no record at the horizon or after it can touch.

    An entry may have changed since it was found, so each is checked again.
    """
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    power = next_power_of_two(regions)
    for entry in entries:
        if not horizon - spans[entry, LAST] >= gap:  # false for a free entry, too
            continue
        low, high = keys[entry, 0], keys[entry, 1]
        mixed = mix_key(low, high)
        group = home(mixed, regions, power)
        following = next_of(numbers, entry)
        unlink(numbers, entry)
        if numbers[entry, STAMP] != FOLLOWS:
            remove_entry(words, slots, group, mixed, entry)
            if following != entry:
                add_entry(words, slots, group, mixed, following)
                numbers[following, STAMP] = numbers[entry, STAMP]
        release(spans, numbers, free, counts, entry)


@jit
def drop_keys(sessions: Sessions, heads: Ints) -> None:
    """Drop keys with all their sessions, given each key's first entry."""
    words, slots, keys, regions = sessions.words, sessions.slots, sessions.keys, sessions.regions
    spans, numbers, free, counts = sessions.spans, sessions.numbers, sessions.free, sessions.counts
    power = next_power_of_two(regions)
    for head in heads:
        mixed = mix_key(keys[head, 0], keys[head, 1])
        remove_entry(words, slots, home(mixed, regions, power), mixed, head)
        entry = next_of(numbers, head)
        while entry != head:
            following = next_of(numbers, entry)
            release(spans, numbers, free, counts, entry)
            entry = following
        release(spans, numbers, free, counts, head)
