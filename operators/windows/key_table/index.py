"""A hash index from 128-bit keys to entry numbers, for batches of keys.

Slots stand in groups, and one 64-bit word says what is in a group, so that nearly
every search looks at one word, one slot and one key.  After Abseil's Swiss tables and
Folly's F14; growing after Litwin's linear hashing (1980).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.growable_column import Column
from operators.columns.jit import jit

Words: TypeAlias = npt.NDArray[np.uint64]
Entries: TypeAlias = npt.NDArray[np.uint32]

DROPPED = np.uint32(0xFFFFFFFF)
"""Stamp of an entry that is to be removed and may not be found any more."""

# A group's word: in byte 0 how many keys found the group full and went on, in
# bytes 1 to 7 a tag for each slot, 0 where it is free.
SLOTS = 7
# A region is what grows at once: a fraction of a millisecond for its 3,000 to 6,000 keys.
GROUPS = 1024
# Regions are split in turn, so one that waits for its turn holds twice the keys of a
# new one: 42 % full on average is 84 % at most.
KEYS_A_REGION = int(0.42 * GROUPS * SLOTS)

_GROUP_MASK = np.int64(GROUPS - 1)
_BYTES = np.uint64(0x0101010101010101)
_TAGS = np.uint64(0x0101010101010100)
_HIGH_BITS = np.uint64(0x8080808080808000)
_LOW_BYTE = np.uint64(0xFF)
_TAG_SHIFT, _TAG_BIT = np.uint64(57), np.uint64(0x80)
_GROUP_SHIFT = np.uint64(24)
_NONE, _ONE, _SEVEN, _EIGHT = np.uint64(0), np.uint64(1), np.uint64(7), np.uint64(8)
_HALF = np.uint64(32)
# Multiplied by a word with the lowest bit of byte i set, its three highest bits are i.
_WHICH_BYTE = np.uint64(sum(byte << (61 - 8 * byte) for byte in range(8)))
_TOP_THREE = np.uint64(61)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
# A count that has come here stays: it may have been more.
_MANY = np.uint64(255)
_NO_INTS, _NO_FLOATS = np.zeros(0, np.int64), np.zeros(0)
# So many keys are fetched into the processor's cache before they are looked at.
AT_ONCE = 1024


def spread(keys: Hashes) -> Words:
    """One well-mixed word a key: where it belongs in an index."""
    words = keys[:, 1] >> _HALF | keys[:, 1] << _HALF
    words ^= keys[:, 0]
    words *= _SPREAD
    words ^= words >> _HALF
    return words


class KeyIndex:
    """Finds, adds and removes entry numbers by key; the keys themselves are the caller's.

    Promises: removing leaves no trace, so that endless coming and going does not slow
    it down; no call does more than the keys given and a few regions' worth of work.
    """

    def __init__(self) -> None:
        self.regions = 1
        self._words = Column(np.uint64, GROUPS)
        self._slots = Column(np.uint32, GROUPS * SLOTS)

    @property
    def words(self) -> Words:
        """A word for each group; no longer this array once there is made room."""
        return self._words.rows

    @property
    def slots(self) -> Entries:
        """The entries of each group; no longer this array once there is made room."""
        return self._slots.rows

    @property
    def size_bytes(self) -> int:
        """Memory taken."""
        return self.words.nbytes + self.slots.nbytes

    def find(
        self, spread_keys: Words, wanted: Hashes, keys: Hashes, stamps: Entries | None = None
    ) -> Ints:
        """Entry of each wanted key, −1 where there is none.

        keys: of the entries.  stamps: of the entries; those stamped `DROPPED` do not
        count.  None: there are none such.
        """
        found = np.empty(len(wanted), np.int64)
        some = np.zeros(0, np.uint32) if stamps is None else stamps
        _find(self.words, self.slots, self.regions, spread_keys, wanted, keys, some, found)
        return found

    def add(self, spread_keys: Words, entries: Ints) -> None:
        """Add entries whose keys are not in the index, and differ; `make_room` first."""
        _add(self.words, self.slots, self.regions, spread_keys, entries)

    def remove(self, spread_keys: Words, entries: Ints) -> None:
        """Remove entries that are in the index."""
        _remove(self.words, self.slots, self.regions, spread_keys, entries)

    def make_room(self, size: int, keys: Hashes) -> None:
        """Grow to a number of entries, region by region.

        keys: of the entries.
        """
        before, self.regions = self.regions, max(self.regions, -(-size // KEYS_A_REGION))
        self._words.grow(self.regions * GROUPS)
        self._slots.grow(self.regions * GROUPS * SLOTS)
        for new in range(before, self.regions):
            _split(self.words, self.slots, new, keys)


@jit
def whole_of(regions: int) -> int:
    """Return the power of two that is not less than the number of regions."""
    whole = 1
    while whole < regions:
        whole *= 2
    return whole


@jit
def spread_one(low: np.uint64, high: np.uint64) -> np.uint64:
    """`spread` for one key."""
    word = ((high >> _HALF | high << _HALF) ^ low) * _SPREAD
    return word ^ word >> _HALF


@jit
def home(spread_key: np.uint64, regions: int, whole: int) -> np.int64:
    """Group where a key's search begins.  whole: `whole_of` the regions."""
    region = np.int64(spread_key & np.uint64(whole - 1))
    if region >= regions:
        region -= whole // 2
    return region * GROUPS + (np.int64(spread_key >> _GROUP_SHIFT) & _GROUP_MASK)


@jit
def _tag(spread_key: np.uint64) -> np.uint64:
    """What tells a key from others of its group, mostly; never 0."""
    return spread_key >> _TAG_SHIFT | _TAG_BIT


@jit
def _matching(word: np.uint64, tag: np.uint64) -> np.uint64:
    """Return the word with the highest bit of a byte set where the group has the tag.

    The byte above a match may be set without having it: a key is compared anyway.
    """
    differing = (word | _LOW_BYTE) ^ (tag * _TAGS)
    return (differing - _BYTES) & ~differing & _HIGH_BITS


@jit
def _lowest(bits: np.uint64) -> np.uint64:
    """The lowest bit that is set, alone."""
    return bits & (~bits + _ONE)


@jit
def _byte(highest_bit: np.uint64) -> np.int64:
    """Which byte has its highest bit set, given one that has."""
    return np.int64((highest_bit >> _SEVEN) * _WHICH_BYTE >> _TOP_THREE)


@jit
def _next(group: np.int64, tag: np.uint64) -> np.int64:
    """Where a search goes on after a full group: odd steps come by all groups of the region."""
    step = np.int64(tag) * 2 + 1
    return (group & ~_GROUP_MASK) | ((group + step) & _GROUP_MASK)


@jit
def find_one(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    group: np.int64,
    spread_key: np.uint64,
    low: np.uint64,
    high: np.uint64,
    keys: Hashes,
    stamps: Entries,
) -> np.int64:
    """Entry of a key, −1 for none.  group: its `home`.  No stamps: none is dropped."""
    tag = _tag(spread_key)
    for _ in range(GROUPS):
        word = words[group]
        matching = _matching(word, tag)
        while matching != _NONE:
            lowest = _lowest(matching)
            entry = np.int64(slots[group * SLOTS + _byte(lowest) - 1])
            same = keys[entry, 0] == low and keys[entry, 1] == high
            if same and (len(stamps) == 0 or stamps[entry] != DROPPED):
                return entry
            matching ^= lowest
        if word & _LOW_BYTE == _NONE:
            break
        group = _next(group, tag)
    return np.int64(-1)


@jit
def fetch(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    keys: Hashes,
    references: Ints,
    ats: Floats,
    groups: Ints,
    spread_keys: Words,
    fetched: Words,
) -> None:
    """Read what the searches for some keys will look at.

    All of it is far apart in memory, and in a search each look hangs on the one before:
    the processor fetches many at once if nothing does.  references, ats: of the keys,
    empty where they will not be looked at.  fetched: room for as many words, so that no
    compiler takes the reading for useless.
    """
    for row in range(len(groups)):
        fetched[row] = words[groups[row]]
    for row in range(len(groups)):
        fetched[row] += slots[groups[row] * SLOTS]
    for row in range(len(groups)):
        matching = _matching(words[groups[row]], _tag(spread_keys[row]))
        if matching != _NONE:
            entry = slots[groups[row] * SLOTS + _byte(_lowest(matching)) - 1]
            fetched[row] += keys[entry, 0]
            if len(references):
                fetched[row] += np.uint64(references[entry])
            if len(ats) and ats[entry] > 0:
                fetched[row] += _ONE


@jit
def add_one(
    words: Words, slots: Entries, group: np.int64, spread_key: np.uint64, entry: np.int64
) -> None:
    """Add an entry.  group: its `home`."""
    tag = _tag(spread_key)
    while ~words[group] & _HIGH_BITS == _NONE:
        if words[group] & _LOW_BYTE != _MANY:
            words[group] += _ONE
        group = _next(group, tag)
    byte = _byte(_lowest(~words[group] & _HIGH_BITS))
    slots[group * SLOTS + byte - 1] = entry
    words[group] |= tag << (np.uint64(byte) * _EIGHT)


@jit
def _find(  # noqa: PLR0913, PLR0917 - arrays, not objects, are what can be compiled
    words: Words,
    slots: Entries,
    regions: int,
    spread_keys: Words,
    wanted: Hashes,
    keys: Hashes,
    stamps: Entries,
    found: Ints,
) -> None:
    """Put the entry of each wanted key, or −1, into `found`; no stamps: none is dropped."""
    whole = whole_of(regions)
    for row in range(len(wanted)):
        found[row] = home(spread_keys[row], regions, whole)
    fetched = np.empty(AT_ONCE, np.uint64)
    for begin in range(0, len(wanted), AT_ONCE):
        rows = slice(begin, begin + AT_ONCE)
        fetch(words, slots, keys, _NO_INTS, _NO_FLOATS, found[rows], spread_keys[rows], fetched)
        for row in range(begin, min(begin + AT_ONCE, len(wanted))):
            low, high = wanted[row, 0], wanted[row, 1]
            found[row] = find_one(
                words, slots, found[row], spread_keys[row], low, high, keys, stamps
            )


@jit
def _add(words: Words, slots: Entries, regions: int, spread_keys: Words, entries: Ints) -> None:
    whole = whole_of(regions)
    for row in range(len(entries)):
        group = home(spread_keys[row], regions, whole)
        add_one(words, slots, group, spread_keys[row], entries[row])


@jit
def _split(words: Words, slots: Entries, new: int, keys: Hashes) -> None:
    """Move what belongs into a new region there from the one whose turn it is.

    new: its number, which is that of the regions there were.
    """
    whole = whole_of(new + 1)
    old = new - whole // 2
    taken = words[old * GROUPS : (old + 1) * GROUPS].copy()
    entries = slots[old * GROUPS * SLOTS : (old + 1) * GROUPS * SLOTS].copy()
    words[old * GROUPS : (old + 1) * GROUPS] = _NONE
    for place in range(len(entries)):
        tag = taken[place // SLOTS] >> (np.uint64(place % SLOTS + 1) * _EIGHT) & _LOW_BYTE
        if tag != _NONE:
            entry = np.int64(entries[place])
            spread_key = spread_one(keys[entry, 0], keys[entry, 1])
            add_one(words, slots, home(spread_key, new + 1, whole), spread_key, entry)


@jit
def remove_one(
    words: Words, slots: Entries, group: np.int64, spread_key: np.uint64, entry: np.int64
) -> None:
    """Remove an entry that is in the index.  group: its `home`."""
    tag = _tag(spread_key)
    for _ in range(GROUPS):
        matching = _matching(words[group], tag)
        while matching != _NONE:
            lowest = _lowest(matching)
            byte = _byte(lowest)
            if slots[group * SLOTS + byte - 1] == entry:
                words[group] &= ~(_LOW_BYTE << (np.uint64(byte) * _EIGHT))
                return
            matching ^= lowest
        count = words[group] & _LOW_BYTE
        if count % _MANY != _NONE:  # it is neither none nor many
            words[group] -= _ONE
        group = _next(group, tag)


@jit
def _remove(words: Words, slots: Entries, regions: int, spread_keys: Words, entries: Ints) -> None:
    whole = whole_of(regions)
    for row in range(len(entries)):
        group = home(spread_keys[row], regions, whole)
        remove_one(words, slots, group, spread_keys[row], entries[row])
