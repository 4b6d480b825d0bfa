"""A hash index from 128-bit keys to entry numbers, for batches of keys.

Slots are arranged in groups, and one 64-bit word describes a group, so that nearly
every search looks at one word, one slot and one key.  After Abseil's Swiss tables and
Folly's F14; growing after Litwin's linear hashing (1980).
"""

from __future__ import annotations

import numpy as np

from operators.columns.arrays import Hashes, Ints
from operators.columns.growable_column import GrowableColumn
from operators.columns.jit import jit
from operators.windows.key_table.group_word import EIGHT, LOW_BYTE, NONE, SLOTS
from operators.windows.key_table.probing import (
    GROUPS,
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

# Regions are split one after another, so a region that is not split yet holds twice the
# keys of a split one: 42 % full on average is 84 % at most.
KEYS_PER_REGION = int(0.42 * GROUPS * SLOTS)

_NO_INTS, _NO_FLOATS = np.zeros(0, np.int64), np.zeros(0)


class KeyIndex:
    """Finds, adds and removes entry numbers by key; the keys themselves are the caller's.

    Promises: a removed entry leaves no trace, so adding and removing forever does not slow
    it down.  No call does more than the keys given and a few regions' worth of work.
    """

    def __init__(self) -> None:
        self.regions = 1
        self._words = GrowableColumn(np.uint64, GROUPS)
        self._slots = GrowableColumn(np.uint32, GROUPS * SLOTS)

    @property
    def words(self) -> Words:
        """The word of each group; `make_room` replaces the array."""
        return self._words.rows

    @property
    def slots(self) -> Entries:
        """The entries of each group; `make_room` replaces the array."""
        return self._slots.rows

    @property
    def size_bytes(self) -> int:
        """Memory taken."""
        return self.words.nbytes + self.slots.nbytes

    def find(
        self, mixed_keys: Words, sought: Hashes, keys: Hashes, stamps: Entries | None = None
    ) -> Ints:
        """Return the entry of each key sought, −1 if there is none.

        mixed_keys: `mix_keys(sought)`.  keys: of the entries.  stamps: of the entries;
        those stamped `DROPPED` are not found.  None: there are none such.
        """
        entries = np.empty(len(sought), np.int64)
        stamps = np.zeros(0, np.uint32) if stamps is None else stamps
        _find(self.words, self.slots, self.regions, mixed_keys, sought, keys, stamps, entries)
        return entries

    def add(self, mixed_keys: Words, entries: Ints) -> None:
        """Add entries whose keys are not in the index, and differ; `make_room` first."""
        _add(self.words, self.slots, self.regions, mixed_keys, entries)

    def remove(self, mixed_keys: Words, entries: Ints) -> None:
        """Remove entries that are in the index."""
        _remove(self.words, self.slots, self.regions, mixed_keys, entries)

    def make_room(self, size: int, keys: Hashes) -> None:
        """Grow to a number of entries, region by region.

        keys: of the entries.
        """
        before, self.regions = self.regions, max(self.regions, -(-size // KEYS_PER_REGION))
        self._words.grow(self.regions * GROUPS)
        self._slots.grow(self.regions * GROUPS * SLOTS)
        for region in range(before, self.regions):
            _split(self.words, self.slots, region, keys)


@jit
def _find(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    regions: int,
    mixed_keys: Words,
    sought: Hashes,
    keys: Hashes,
    stamps: Entries,
    entries: Ints,
) -> None:
    """Put the entry of each key sought, or −1, into `entries`; until then they hold groups."""
    power = next_power_of_two(regions)
    for row in range(len(sought)):
        entries[row] = home(mixed_keys[row], regions, power)
    fetched = np.empty(PREFETCHED_KEYS, np.uint64)
    for begin in range(0, len(sought), PREFETCHED_KEYS):
        rows = slice(begin, begin + PREFETCHED_KEYS)
        fetch(words, slots, keys, _NO_INTS, _NO_FLOATS, entries[rows], mixed_keys[rows], fetched)
        for row in range(begin, min(begin + PREFETCHED_KEYS, len(sought))):
            low, high = sought[row, 0], sought[row, 1]
            entries[row] = find_key(
                words, slots, entries[row], mixed_keys[row], low, high, keys, stamps
            )


@jit
def _add(words: Words, slots: Entries, regions: int, mixed_keys: Words, entries: Ints) -> None:
    power = next_power_of_two(regions)
    for row in range(len(entries)):
        group = home(mixed_keys[row], regions, power)
        add_entry(words, slots, group, mixed_keys[row], entries[row])


@jit
def _split(words: Words, slots: Entries, new: int, keys: Hashes) -> None:
    """Move the entries that belong into a new region there, from the region that it splits.

    new: the region's number, which is the number of regions before.
    """
    power = next_power_of_two(new + 1)
    old = new - power // 2
    old_words = words[old * GROUPS : (old + 1) * GROUPS].copy()
    entries = slots[old * GROUPS * SLOTS : (old + 1) * GROUPS * SLOTS].copy()
    words[old * GROUPS : (old + 1) * GROUPS] = NONE
    for place in range(len(entries)):
        tag = old_words[place // SLOTS] >> (np.uint64(place % SLOTS + 1) * EIGHT) & LOW_BYTE
        if tag != NONE:
            entry = np.int64(entries[place])
            mixed = mix_key(keys[entry, 0], keys[entry, 1])
            add_entry(words, slots, home(mixed, new + 1, power), mixed, entry)


@jit
def _remove(words: Words, slots: Entries, regions: int, mixed_keys: Words, entries: Ints) -> None:
    power = next_power_of_two(regions)
    for row in range(len(entries)):
        group = home(mixed_keys[row], regions, power)
        remove_entry(words, slots, group, mixed_keys[row], entries[row])
