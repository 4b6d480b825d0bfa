"""Decides records against the keys of a table, one after another, in one compiled loop.

A table holds a key mixed with the number of its bucket of event time.  A record looks
into one bucket or more, and into all levels of each (operators/windows/sliding.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.jit import jit
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
)

_ODD = np.uint64(0xD6E8FEB86659FD93)
_ODD_LEVEL = np.uint64(0xA0761D6478BD642F)


class TableColumns(NamedTuple):
    """The arrays of a table, until it changes.

    words, slots: of the index.  dropped: the stamps if there are dropped entries, else
    an empty array.  free: entries that can be used again.
    """

    words: Words
    slots: Entries
    keys: Hashes
    bucket_or_time: Floats
    references: Ints
    stamps: Entries
    dropped: Entries
    free: Entries


class Occupancy(NamedTuple):
    """How full a table is.

    end: first entry never used.  free: number of entries that can be used again.  room:
    keys that can be added.  now: the next stamp.  renewed_after: a duplicate renews a key
    whose stamp is older by more than this; −1 for never.
    """

    regions: int
    end: int
    free: int
    room: int
    now: int
    renewed_after: int


class Probes(NamedTuple):
    """Records to decide.

    hashes: shape (n, combinations, 2).  salts: of the buckets to look into, shape
    (buckets, n); the record's own bucket first.  bucket_or_time: stored with each key
    that is added.  within: a key matches if its `bucket_or_time` is less than this away;
    infinite if every key that is found matches.
    """

    hashes: Hashes
    salts: Words
    bucket_or_time: Floats
    references: Ints
    within: float


class Results(NamedTuple):
    """Arrays that take the results, one row a record.

    combination: the one that matched, −1 for none.  originals: reference of the record
    that is repeated.  renewed: rows that renewed a key; renewed_at: the key's
    `bucket_or_time`; stamps_before: its stamp until then.  `decide_sequentially` says how
    many rows of these three are filled.
    """

    combination: npt.NDArray[np.int8]
    originals: Ints
    renewed: Ints
    renewed_at: Floats
    stamps_before: Ints


def bucket_salts(buckets: Floats) -> Words:
    """Return a word for each bucket, to be mixed with keys."""
    salts: Words = (buckets + 0.0).view(np.uint64) * _ODD  # −0.0 is 0.0
    return salts


@jit
def salted(low: np.uint64, salt: np.uint64, level: int) -> np.uint64:
    """Return the first half of a key as a bucket holds it at a level; the other half stays."""
    return low ^ (salt + np.uint64(level) * _ODD_LEVEL)


@jit
def key_seen_in_record(hashes: Hashes, row: int, combination: int) -> bool:
    """Tell whether an earlier combination of a record has the same key."""
    for earlier in range(combination):
        if (
            hashes[row, earlier, 0] == hashes[row, combination, 0]
            and hashes[row, earlier, 1] == hashes[row, combination, 1]
        ):
            return True
    return False


@jit
def _homes(hashes: Hashes, salts: Words, regions: int, groups: Ints, mixed_keys: Words) -> int:
    """Tell where the searches for some records begin; return how many searches there are.

    The arrays have room for the first `PREFETCHED_KEYS` of them.
    """
    power = next_power_of_two(regions)
    count = 0
    for row in range(len(hashes)):
        for combination in range(hashes.shape[1]):
            for bucket in range(len(salts)):
                if count == len(groups):
                    return count
                low = salted(hashes[row, combination, 0], salts[bucket, row], 0)
                mixed_keys[count] = mix_key(low, hashes[row, combination, 1])
                groups[count] = home(mixed_keys[count], regions, power)
                count += 1
    return count


@jit
def decide_sequentially(  # noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917 - one loop, compiled whole
    table: TableColumns,
    occupancy: Occupancy,
    probes: Probes,
    levels: int,
    begin: int,
    results: Results,
) -> tuple[int, int, int, int]:
    """Decide records from `begin` on, add the keys of unique ones and renew those of duplicates.

    It ends before the first record whose keys have no room.  Returns the row where it
    ended, keys added, keys renewed, and the number of levels after that.
    """
    # Plain arrays: reading one out of a tuple changes its reference count each time.
    words, slots, keys, dropped = table.words, table.slots, table.keys, table.dropped
    held_positions, held_references = table.bucket_or_time, table.references
    stamps, free_entries = table.stamps, table.free
    hashes, salts, references = probes.hashes, probes.salts, probes.references
    positions = probes.bucket_or_time
    combinations, buckets, count = hashes.shape[1], len(salts), len(positions)
    regions, within, room = occupancy.regions, probes.within, occupancy.room
    power = next_power_of_two(regions)
    anywhere = within == np.inf
    compared_positions = held_positions[:0] if anywhere else held_positions
    groups, mixed_keys = np.empty(PREFETCHED_KEYS, np.int64), np.empty(PREFETCHED_KEYS, np.uint64)
    fetched = np.empty(PREFETCHED_KEYS, np.uint64)
    step = max(1, PREFETCHED_KEYS // (combinations * buckets))
    own = np.empty(combinations, np.int64)  # entry of each key in the record's own bucket
    added, renewed = 0, 0
    for row in range(begin, count):
        if (row - begin) % step == 0:
            rows = slice(row, min(row + step, count))
            searches = _homes(hashes[rows], salts[:, rows], regions, groups, mixed_keys)
            group_part, mixed_part = groups[:searches], mixed_keys[:searches]
            fetch(
                words,
                slots,
                keys,
                held_references,
                compared_positions,
                group_part,
                mixed_part,
                fetched,
            )
        original = np.int64(-1)
        matching = -1
        while original < 0 and matching + 1 < combinations:
            matching += 1
            high = hashes[row, matching, 1]
            for level in range(levels):
                for bucket in range(buckets):
                    low = salted(hashes[row, matching, 0], salts[bucket, row], level)
                    mixed = mix_key(low, high)
                    group = home(mixed, regions, power)
                    entry = find_key(words, slots, group, mixed, low, high, keys, dropped)
                    if level == 0 and bucket == 0:
                        own[matching] = entry
                    is_near = entry >= 0 and (
                        anywhere or abs(positions[row] - held_positions[entry]) < within
                    )
                    # Two can match: the one with the smaller reference is the original.
                    if is_near and (
                        original < 0 or held_references[entry] < held_references[original]
                    ):
                        original = entry
        if original >= 0:
            results.combination[row] = matching
            results.originals[row] = held_references[original]
            if occupancy.renewed_after >= 0:
                next_stamp = occupancy.now + added + renewed
                stamp = np.int64(stamps[original])
                if stamp < next_stamp - occupancy.renewed_after:
                    results.renewed[renewed] = row
                    results.renewed_at[renewed] = held_positions[original]
                    results.stamps_before[renewed] = stamp
                    stamps[original] = next_stamp
                    renewed += 1
            continue
        new_keys = combinations
        for combination in range(1, combinations):
            new_keys -= key_seen_in_record(hashes, row, combination)
        if added + new_keys > room:
            return row, added, renewed, levels
        for combination in range(combinations):
            if key_seen_in_record(hashes, row, combination):
                continue
            high = hashes[row, combination, 1]
            level = 0
            # Only rounding puts two unique records with one key into one bucket.
            while True:
                low = salted(hashes[row, combination, 0], salts[0, row], level)
                mixed = mix_key(low, high)
                group = home(mixed, regions, power)
                if level > 0:
                    own[combination] = find_key(
                        words, slots, group, mixed, low, high, keys, dropped
                    )
                if own[combination] < 0:
                    break
                level += 1
            levels = max(levels, level + 1)
            if added < occupancy.free:
                entry = np.int64(free_entries[occupancy.free - 1 - added])
            else:
                entry = np.int64(occupancy.end + added - occupancy.free)
            keys[entry, 0], keys[entry, 1] = low, high
            held_positions[entry] = positions[row]
            held_references[entry] = references[row]
            stamps[entry] = occupancy.now + added + renewed
            add_entry(words, slots, group, mixed, entry)
            added += 1
    return count, added, renewed, levels
