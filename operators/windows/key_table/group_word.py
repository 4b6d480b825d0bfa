"""The word of a group: one byte for each of its seven slots, compared all at once.

Byte 0 counts the keys that found the group full and went on to another.  Bytes 1 to 7
hold a tag for each slot, 0 where the slot is free.
"""

from __future__ import annotations

import numpy as np

from operators.columns.jit import jit

SLOTS = 7
"""Slots of a group."""

NONE, ONE, EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
LOW_BYTE = np.uint64(0xFF)
TAG_BITS = np.uint64(0x8080808080808000)
"""The highest bit of each tag: it is set unless the slot is free."""
MANY = np.uint64(255)
"""A count that has reached this value stays, since more keys may have come."""

_BYTES = np.uint64(0x0101010101010101)
_TAGS = np.uint64(0x0101010101010100)
_TAG_SHIFT, _TAG_BIT = np.uint64(57), np.uint64(0x80)
_SEVEN = np.uint64(7)
# Multiplied by a word with the lowest bit of byte i set, its three highest bits are i.
_WHICH_BYTE = np.uint64(sum(byte << (61 - 8 * byte) for byte in range(8)))
_TOP_THREE = np.uint64(61)


@jit
def tag_of(mixed: np.uint64) -> np.uint64:
    """Return seven bits of a mixed key, never 0: most other keys of the group differ in them."""
    return mixed >> _TAG_SHIFT | _TAG_BIT


@jit
def matching_slots(word: np.uint64, tag: np.uint64) -> np.uint64:
    """Return the word with the highest bit of a byte set where the group has the tag.

    The byte above a match may be set without a match: the caller compares the key anyway.
    """
    differing = (word | LOW_BYTE) ^ (tag * _TAGS)
    return (differing - _BYTES) & ~differing & TAG_BITS


@jit
def lowest_bit(bits: np.uint64) -> np.uint64:
    """Return the lowest bit that is set, alone."""
    return bits & (~bits + ONE)


@jit
def byte_of(highest_bit: np.uint64) -> np.int64:
    """Return which byte has its highest bit set, given a word with one such bit."""
    return np.int64((highest_bit >> _SEVEN) * _WHICH_BYTE >> _TOP_THREE)
