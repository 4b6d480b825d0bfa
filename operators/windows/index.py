"""A hash index from 128-bit keys to entry numbers, for batches of keys.

Numpy has no hash table; a loop in Python would cost a microsecond a key.  Here a
step of the search is done for all keys of a batch at once, so that few steps must
do: slots stand in groups, and one 64-bit word says what is in a group.  After
Abseil's Swiss tables and Folly's F14; growing after Litwin's linear hashing (1980).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from operators.batches import Hashes, Ints

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
_HALF, _ONE, _SEVEN = np.uint64(32), np.uint64(1), np.uint64(7)
# Multiplied by a word with the lowest bit of byte i set, its three highest bits are i.
_WHICH_BYTE = np.uint64(sum(byte << (61 - 8 * byte) for byte in range(8)))
_TOP_THREE = np.uint64(61)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
# A count that has come here stays: it may have been more.
_MANY = 255
# So few that a loop is faster than sorting them.
_FEW = 100


def spread(keys: Hashes) -> Words:
    """One well-mixed word a key: where it belongs in an index."""
    words = keys[:, 1] >> _HALF | keys[:, 1] << _HALF
    words ^= keys[:, 0]
    words *= _SPREAD
    words ^= words >> _HALF
    return words


def grown(column: npt.NDArray[np.generic], size: int) -> None:
    """Make a column at least `size` long, in place, with zeros; there must be no view of it.

    An eighth more than needed: large blocks are moved by the kernel's page tables,
    not copied.
    """
    if size > len(column):
        column.resize((size + size // 8, *column.shape[1:]), refcheck=False)


class KeyIndex:
    """Finds, adds and removes entry numbers by key; the keys themselves are the caller's.

    Promises: removing leaves no trace, so that endless coming and going does not slow
    it down; no call does more than the keys given and a few regions' worth of work.
    """

    def __init__(self) -> None:
        self._regions = 1
        self._words: Words = np.zeros(GROUPS, np.uint64)
        self._slots: Entries = np.zeros(GROUPS * SLOTS, np.uint32)

    @property
    def size_bytes(self) -> int:
        """Memory taken."""
        return self._words.nbytes + self._slots.nbytes

    def _home(self, spread_keys: Words) -> Ints:
        """Group where a key's search begins."""
        low = spread_keys.view(np.int64)
        bits = (self._regions - 1).bit_length()
        region = low & ((1 << bits) - 1)
        if self._regions != 1 << bits:
            region -= (region >= self._regions) * np.int64(1 << (bits - 1))
        within = (spread_keys >> _GROUP_SHIFT).view(np.int64) & _GROUP_MASK
        return region * GROUPS + within

    def find(
        self, spread_keys: Words, wanted: Hashes, keys: Hashes, stamps: Entries | None = None
    ) -> Ints:
        """Entry of each wanted key, −1 where there is none.

        keys: of the entries.  stamps: of the entries; those stamped `DROPPED` do not
        count.  None: there are none such.
        """
        found = np.full(len(wanted), -1, np.int64)
        groups = self._home(spread_keys)
        patterns = _pattern(spread_keys)
        rows = np.arange(len(wanted))
        while len(rows):
            words = self._words[groups]
            matching = _matching(words, patterns)
            at = np.flatnonzero(matching)
            while len(at):
                lowest = matching[at] & (~matching[at] + _ONE)
                entries = self._slots[groups[at] * SLOTS + _byte(lowest) - 1]
                there, asked = keys[entries], wanted[rows[at]]
                same = (there[:, 0] == asked[:, 0]) & (there[:, 1] == asked[:, 1])
                if stamps is not None:
                    same &= stamps[entries] != DROPPED
                hit = at[same]
                found[rows[hit]] = entries[same]
                words[hit] = 0  # its search is over
                at, lowest = at[~same], lowest[~same]
                matching[at] ^= lowest
                at = at[matching[at] != 0]
            on = np.flatnonzero(words & _LOW_BYTE)
            if not len(on):
                break
            rows, patterns = rows[on], patterns[on]
            groups = _next(groups[on], patterns)
        return found

    def add(self, spread_keys: Words, entries: Ints) -> None:
        """Add entries whose keys are not in the index, and differ; `make_room` first."""
        groups = self._home(spread_keys)
        patterns = _pattern(spread_keys)
        tags = (spread_keys >> _TAG_SHIFT | _TAG_BIT).astype(np.uint8)
        numbers = entries.astype(np.uint32)
        # Bytes of the words, so that two keys of one group do not write one another's.
        view = self._words.view(np.uint8)
        while len(groups):
            free = ~self._words[groups] & _HIGH_BITS
            full = free == 0
            if full.any():
                self._count(groups[full], 1)
                groups[full] = _next(groups[full], patterns[full])
                free = ~self._words[groups] & _HIGH_BITS
            byte = _byte(free & (~free + _ONE))
            slots = groups * SLOTS + byte - 1
            # Where several want one slot the last gets it, and the others try again.
            open_ = free != 0
            self._slots[slots[open_]] = numbers[open_]
            won = open_ & (self._slots[slots] == numbers)
            view[groups[won] * 8 + byte[won]] = tags[won]
            if won.all():
                return
            lost = ~won
            groups, patterns, tags = groups[lost], patterns[lost], tags[lost]
            numbers = numbers[lost]

    def remove(self, spread_keys: Words, entries: Ints) -> None:
        """Remove entries that are in the index."""
        groups = self._home(spread_keys)
        patterns = _pattern(spread_keys)
        numbers = entries.astype(np.uint32)
        view = self._words.view(np.uint8)
        while len(groups):
            matching = _matching(self._words[groups], patterns)
            gone = np.zeros(len(groups), np.bool_)
            at = np.flatnonzero(matching)
            while len(at):
                lowest = matching[at] & (~matching[at] + _ONE)
                byte = _byte(lowest)
                same = self._slots[groups[at] * SLOTS + byte - 1] == numbers[at]
                view[groups[at[same]] * 8 + byte[same]] = 0
                gone[at[same]] = True
                at, lowest = at[~same], lowest[~same]
                matching[at] ^= lowest
                at = at[matching[at] != 0]
            left = np.flatnonzero(~gone)
            if not len(left):
                return
            groups, patterns, numbers = groups[left], patterns[left], numbers[left]
            self._count(groups, -1)
            groups = _next(groups, patterns)

    def _count(self, groups: Ints, by: int) -> None:
        """Count keys that went on from groups, or (−1) no longer do."""
        if len(groups) < _FEW:
            bytes_ = self._words.view(np.uint8)
            for at in (groups * 8).tolist():
                count = int(bytes_[at])
                bytes_[at] = count if count == _MANY else count + by
            return
        passed, times = np.unique(groups, return_counts=True)
        view = self._words.view(np.uint8)
        counts = view[passed * 8].astype(np.int64)
        view[passed * 8] = np.where(counts < _MANY, np.minimum(counts + by * times, _MANY), _MANY)

    def make_room(self, size: int, keys: Hashes) -> None:
        """Grow to a number of entries, region by region.

        keys: of the entries.
        """
        while size > self._regions * KEYS_A_REGION:
            self._split(keys)

    def _split(self, keys: Hashes) -> None:
        """Add a region, with half the keys of the one whose turn it is."""
        new = self._regions
        old = new - (1 << (new.bit_length() - 1))
        groups = slice(old * GROUPS, (old + 1) * GROUPS)
        grown(self._words, (new + 1) * GROUPS)
        grown(self._slots, (new + 1) * GROUPS * SLOTS)
        taken = self._words[groups].view(np.uint8).reshape(GROUPS, SLOTS + 1)[:, 1:] != 0
        slots = self._slots[groups.start * SLOTS : groups.stop * SLOTS].reshape(GROUPS, SLOTS)
        entries = slots[taken]
        self._words[groups] = 0
        self._regions = new + 1
        words = spread(keys[entries])
        homes = self._home(words)
        # Nearer than region · GROUPS + group: radix sorted as 16 bits.
        near = (homes & _GROUP_MASK) + np.where(homes >= new * GROUPS, GROUPS, 0)
        self._fill(near, words, entries, np.array([old, new - 1]) * GROUPS)

    def _fill(self, near: Ints, spread_keys: Words, entries: Entries, begins: Ints) -> None:
        """Put keys into two empty regions, many at once.

        near: the group where a key begins, those of the second region after those of
        the first.  begins: what makes groups of `near` into those of the index.
        """
        patterns = _pattern(spread_keys)
        tags = (spread_keys >> _TAG_SHIFT | _TAG_BIT).astype(np.uint8)
        view = self._words.view(np.uint8)
        held = np.zeros(2 * GROUPS, np.int64)
        while len(near):
            order = np.argsort(near.astype(np.uint16), kind="stable")
            near, patterns, tags, entries = (
                near[order],
                patterns[order],
                tags[order],
                entries[order],
            )
            coming = np.bincount(near, minlength=2 * GROUPS)
            before = np.cumsum(coming) - coming
            place = np.arange(len(near)) - before[near] + held[near]
            fits = place < SLOTS
            group = near + begins[near // GROUPS]
            view[group[fits] * 8 + place[fits] + 1] = tags[fits]
            self._slots[group[fits] * SLOTS + place[fits]] = entries[fits]
            held = np.minimum(held + coming, SLOTS)
            on = ~fits
            self._count(group[on], 1)
            near, patterns, tags, entries = near[on], patterns[on], tags[on], entries[on]
            near = _next(near, patterns)


def _pattern(spread_keys: Words) -> Words:
    """The key's tag, never 0, in bytes 1 to 7."""
    pattern: Words = (spread_keys >> _TAG_SHIFT | _TAG_BIT) * _TAGS
    return pattern


def _matching(words: Words, patterns: Words) -> Words:
    """Words with the highest bit of a byte set where a group has the tag.

    The byte above a match may be set without having it: a key is compared anyway.
    """
    differing = (words | _LOW_BYTE) ^ patterns
    matching: Words = (differing - _BYTES) & ~differing & _HIGH_BITS
    return matching


def _byte(highest_bit: Words) -> Ints:
    """Which byte has its highest bit set, given one that has."""
    return ((highest_bit >> _SEVEN) * _WHICH_BYTE >> _TOP_THREE).view(np.int64)


def _next(groups: Ints, patterns: Words) -> Ints:
    """Where a search goes on after a full group: odd steps come by all groups of the region."""
    steps = (patterns >> _TAG_SHIFT).view(np.int64) * 2 + 1
    return (groups & ~_GROUP_MASK) | ((groups + steps) & _GROUP_MASK)
