"""Records decided in turn against the keys of a table, as one compiled loop.

A key is held under the stretch of time (bucket) that it is in: the two are mixed.  A
record looks into one bucket or more, and at all levels of each (operators/windows/sliding.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.jit import jit
from operators.windows.key_table.index import (
    AT_ONCE,
    Entries,
    Words,
    add_one,
    fetch,
    find_one,
    home,
    spread_one,
    whole_of,
)

_ODD = np.uint64(0xD6E8FEB86659FD93)
_ODD_LEVEL = np.uint64(0xA0761D6478BD642F)


class Columns(NamedTuple):
    """The arrays of a table, until it changes.

    words, slots: of the index.  dropped: the stamps if there are dropped entries, else
    none.  free: entries to be used again.
    """

    words: Words
    slots: Entries
    keys: Hashes
    ats: Floats
    references: Ints
    stamps: Entries
    dropped: Entries
    free: Entries


class Occupancy(NamedTuple):
    """How full a table is.

    end: first entry never used.  free: how many are to be used again.  room: keys that
    may be added.  now: the next stamp.  renewed_after: stamps after which a duplicate
    renews its key, −1 for never.
    """

    regions: int
    end: int
    free: int
    room: int
    now: int
    renewed_after: int


class Probes(NamedTuple):
    """Records to decide.

    hashes: shape (n, combinations, 2).  marks: of the buckets to look into, shape
    (buckets, n); the first is the record's own.  ats: what keys are added with, and what
    must be less than `within` away for a match; infinite: all match.
    """

    hashes: Hashes
    marks: Words
    ats: Floats
    references: Ints
    within: float


class Results(NamedTuple):
    """Room for the answers, a row each.

    combination: that matched, −1 for none.  originals: reference of the record that is
    repeated.  renewed: rows that renewed a key, renewed_at: with what it is held,
    stamps_before: its stamp till then; as many as `decide_sequentially` says.
    """

    combination: npt.NDArray[np.int8]
    originals: Ints
    renewed: Ints
    renewed_at: Floats
    stamps_before: Ints


def bucket_salts(stretch: Floats) -> Words:
    """Return a number for each bucket, to be mixed with keys."""
    marks: Words = (stretch + 0.0).view(np.uint64) * _ODD  # −0.0 is 0.0
    return marks


@jit
def salted(low: np.uint64, mark: np.uint64, level: int) -> np.uint64:
    """First half of a key as it is held in a bucket, at a level; the other stays as it is."""
    return low ^ (mark + np.uint64(level) * _ODD_LEVEL)


@jit
def again(hashes: Hashes, row: int, combination: int) -> bool:
    """Tell whether an earlier combination of a record has the same key."""
    for earlier in range(combination):
        if (
            hashes[row, earlier, 0] == hashes[row, combination, 0]
            and hashes[row, earlier, 1] == hashes[row, combination, 1]
        ):
            return True
    return False


@jit
def _homes(hashes: Hashes, marks: Words, regions: int, groups: Ints, spread_keys: Words) -> int:
    """Tell where the searches for some records begin; return how many there are.

    There may be more than there is room for: it is for those that come first.
    """
    whole = whole_of(regions)
    coming = 0
    for row in range(len(hashes)):
        for combination in range(hashes.shape[1]):
            for bucket in range(len(marks)):
                if coming == len(groups):
                    return coming
                low = salted(hashes[row, combination, 0], marks[bucket, row], 0)
                spread_keys[coming] = spread_one(low, hashes[row, combination, 1])
                groups[coming] = home(spread_keys[coming], regions, whole)
                coming += 1
    return coming


@jit
def decide_sequentially(  # noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917 - one loop, compiled whole
    table: Columns, occupancy: Occupancy, asked: Probes, levels: int, begin: int, answers: Results
) -> tuple[int, int, int, int]:
    """Decide records from `begin` on, add the keys of unique ones and renew those of duplicates.

    It ends before the first record for whose keys there is no room.  Returns the row
    where it ended, keys added, keys renewed, and levels there are now.
    """
    # Arrays by themselves: as parts of a tuple each use of one would count references.
    words, slots, keys, dropped = table.words, table.slots, table.keys, table.dropped
    held_ats, held_references, stamps = table.ats, table.references, table.stamps
    free_entries = table.free
    hashes, marks, ats, references = asked.hashes, asked.marks, asked.ats, asked.references
    combinations, buckets, count = hashes.shape[1], len(marks), len(ats)
    regions, within, room = occupancy.regions, asked.within, occupancy.room
    whole = whole_of(regions)
    anywhere = within == np.inf
    looked_at = held_ats[:0] if anywhere else held_ats
    groups, spread_keys = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.uint64)
    fetched = np.empty(AT_ONCE, np.uint64)
    at_once = max(1, AT_ONCE // (combinations * buckets))
    own = np.empty(combinations, np.int64)  # of the record's own bucket, for each key
    added, renewed = 0, 0
    for row in range(begin, count):
        if (row - begin) % at_once == 0:
            rows = slice(row, min(row + at_once, count))
            coming = _homes(hashes[rows], marks[:, rows], regions, groups, spread_keys)
            soon, soon_keys = groups[:coming], spread_keys[:coming]
            fetch(words, slots, keys, held_references, looked_at, soon, soon_keys, fetched)
        found = np.int64(-1)
        matching = -1
        while found < 0 and matching + 1 < combinations:
            matching += 1
            high = hashes[row, matching, 1]
            for level in range(levels):
                for bucket in range(buckets):
                    low = salted(hashes[row, matching, 0], marks[bucket, row], level)
                    key = spread_one(low, high)
                    group = home(key, regions, whole)
                    entry = find_one(words, slots, group, key, low, high, keys, dropped)
                    if level == 0 and bucket == 0:
                        own[matching] = entry
                    near = entry >= 0 and (anywhere or abs(ats[row] - held_ats[entry]) < within)
                    # Of two it is the one of the smaller reference.
                    if near and (found < 0 or held_references[entry] < held_references[found]):
                        found = entry
        if found >= 0:
            answers.combination[row] = matching
            answers.originals[row] = held_references[found]
            if occupancy.renewed_after >= 0:
                next_stamp = occupancy.now + added + renewed
                stamp = np.int64(stamps[found])
                if stamp < next_stamp - occupancy.renewed_after:
                    answers.renewed[renewed] = row
                    answers.renewed_at[renewed] = held_ats[found]
                    answers.stamps_before[renewed] = stamp
                    stamps[found] = next_stamp
                    renewed += 1
            continue
        wanted = combinations
        for combination in range(1, combinations):
            wanted -= again(hashes, row, combination)
        if added + wanted > room:
            return row, added, renewed, levels
        for combination in range(combinations):
            if again(hashes, row, combination):
                continue
            high = hashes[row, combination, 1]
            level = 0
            # Only rounding puts two unique records with one key into one bucket.
            while True:
                low = salted(hashes[row, combination, 0], marks[0, row], level)
                key = spread_one(low, high)
                group = home(key, regions, whole)
                if level > 0:
                    own[combination] = find_one(words, slots, group, key, low, high, keys, dropped)
                if own[combination] < 0:
                    break
                level += 1
            levels = max(levels, level + 1)
            if added < occupancy.free:
                entry = np.int64(free_entries[occupancy.free - 1 - added])
            else:
                entry = np.int64(occupancy.end + added - occupancy.free)
            keys[entry, 0], keys[entry, 1] = low, high
            held_ats[entry] = ats[row]
            held_references[entry] = references[row]
            stamps[entry] = occupancy.now + added + renewed
            add_one(words, slots, group, key, entry)
            added += 1
    return count, added, renewed, levels
