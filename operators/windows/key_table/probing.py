"""The steps of a hash index on one key: where it is stored, found, added and removed.

Compiled loops call these steps; `KeyIndex` holds the arrays that they work on.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.jit import jit
from operators.windows.key_table.group_word import (
    EIGHT,
    LOW_BYTE,
    MANY,
    NONE,
    ONE,
    SLOTS,
    TAG_BITS,
    byte_of,
    lowest_bit,
    matching_slots,
    tag_of,
)

Words: TypeAlias = npt.NDArray[np.uint64]
Entries: TypeAlias = npt.NDArray[np.uint32]

DROPPED = np.uint32(0xFFFFFFFF)
"""Stamp of an entry that is still in the index and must not be found any more."""

GROUPS = 1024
"""Groups of a region.  The index grows by one region at a time: that takes a fraction of a
millisecond for its 3,000 to 6,000 keys."""

PREFETCHED_KEYS = 1024
"""Searches whose memory `fetch` reads before they begin."""

_GROUP_MASK = np.int64(GROUPS - 1)
_GROUP_SHIFT = np.uint64(24)
_HALF = np.uint64(32)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd


def mix_keys(keys: Hashes) -> Words:
    """Return one well-mixed word for each key: it says where the index stores the key."""
    words = keys[:, 1] >> _HALF | keys[:, 1] << _HALF
    words ^= keys[:, 0]
    words *= _MULTIPLIER
    words ^= words >> _HALF
    return words


@jit
def mix_key(low: np.uint64, high: np.uint64) -> np.uint64:
    """`mix_keys` for one key."""
    word = ((high >> _HALF | high << _HALF) ^ low) * _MULTIPLIER
    return word ^ word >> _HALF


@jit
def next_power_of_two(regions: int) -> int:
    """Return the smallest power of two that is not less than the number of regions."""
    power = 1
    while power < regions:
        power *= 2
    return power


@jit
def home(mixed: np.uint64, regions: int, power: int) -> np.int64:
    """Return the group where a key's search begins.  power: `next_power_of_two(regions)`."""
    region = np.int64(mixed & np.uint64(power - 1))
    if region >= regions:
        region -= power // 2
    return region * GROUPS + (np.int64(mixed >> _GROUP_SHIFT) & _GROUP_MASK)


@jit
def _next_group(group: np.int64, tag: np.uint64) -> np.int64:
    """Return where a search goes on after a full group.

    The steps are odd, so that they reach every group of the region.
    """
    step = np.int64(tag) * 2 + 1
    return (group & ~_GROUP_MASK) | ((group + step) & _GROUP_MASK)


@jit
def find_key(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    group: np.int64,
    mixed: np.uint64,
    low: np.uint64,
    high: np.uint64,
    keys: Hashes,
    stamps: Entries,
) -> np.int64:
    """Return the entry of a key, −1 if there is none.

    group: the key's `home`.  stamps: of the entries; empty if none is `DROPPED`.
    """
    tag = tag_of(mixed)
    for _ in range(GROUPS):
        word = words[group]
        matching = matching_slots(word, tag)
        while matching != NONE:
            lowest = lowest_bit(matching)
            entry = np.int64(slots[group * SLOTS + byte_of(lowest) - 1])
            same = keys[entry, 0] == low and keys[entry, 1] == high
            if same and (len(stamps) == 0 or stamps[entry] != DROPPED):
                return entry
            matching ^= lowest
        if word & LOW_BYTE == NONE:
            break
        group = _next_group(group, tag)
    return np.int64(-1)


@jit
def fetch(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    keys: Hashes,
    references: Ints,
    times: Floats,
    groups: Ints,
    mixed_keys: Words,
    fetched: Words,
) -> None:
    """Read the memory that the searches for some keys will look at.

    In a search each read depends on the one before.  Issued together, their cache misses
    overlap.  references, times: of the entries, empty if the caller does not read them.
    fetched: takes the results, one a key, so that the compiler cannot remove the reads.
    """
    for row in range(len(groups)):
        fetched[row] = words[groups[row]]
    for row in range(len(groups)):
        fetched[row] += slots[groups[row] * SLOTS]
    for row in range(len(groups)):
        matching = matching_slots(words[groups[row]], tag_of(mixed_keys[row]))
        if matching != NONE:
            entry = slots[groups[row] * SLOTS + byte_of(lowest_bit(matching)) - 1]
            fetched[row] += keys[entry, 0]
            if len(references):
                fetched[row] += np.uint64(references[entry])
            if len(times) and times[entry] > 0:
                fetched[row] += ONE


@jit
def add_entry(
    words: Words, slots: Entries, group: np.int64, mixed: np.uint64, entry: np.int64
) -> None:
    """Add an entry.  group: its key's `home`."""
    tag = tag_of(mixed)
    while ~words[group] & TAG_BITS == NONE:
        if words[group] & LOW_BYTE != MANY:
            words[group] += ONE
        group = _next_group(group, tag)
    byte = byte_of(lowest_bit(~words[group] & TAG_BITS))
    slots[group * SLOTS + byte - 1] = entry
    words[group] |= tag << (np.uint64(byte) * EIGHT)


@jit
def remove_entry(
    words: Words, slots: Entries, group: np.int64, mixed: np.uint64, entry: np.int64
) -> None:
    """Remove an entry that is in the index.  group: its key's `home`."""
    tag = tag_of(mixed)
    for _ in range(GROUPS):
        matching = matching_slots(words[group], tag)
        while matching != NONE:
            lowest = lowest_bit(matching)
            byte = byte_of(lowest)
            if slots[group * SLOTS + byte - 1] == entry:
                words[group] &= ~(LOW_BYTE << (np.uint64(byte) * EIGHT))
                return
            matching ^= lowest
        count = words[group] & LOW_BYTE
        if count % MANY != NONE:  # neither 0 nor MANY
            words[group] -= ONE
        group = _next_group(group, tag)
