"""Shingles: n-grams of characters or words, as sets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import mmh3
import numpy as np

from operators.columns.arrays import Ints
from operators.similarity.hashing import Words, mix
from operators.similarity.signatures import code_points, spread

# A code point has 21 bits: as many fit into 64, with one to spare.
_PACKED = 3
_CODE_BITS = 21
_SHORT = 1 << 63
_LENGTH_AT = 60


@dataclass(slots=True)
class ShingleSets:
    """Sets of shingles of some texts, as numbers that rise within a row.

    starts: where each row begins in `hashes`, and where the last ends.  sizes: of the
    sets; hashes may be fewer only where two shingles met in one.
    """

    rows: Ints
    hashes: Words
    starts: Ints
    sizes: Ints


class Overlap(Protocol):
    """Compares one set of shingles with that of other texts."""

    def __call__(self, other: str) -> tuple[int, int]:
        """Sizes of the intersection and of the union."""
        ...


class Shingles(Protocol):
    """A kind of shingles.  A text shorter than one is its own single shingle."""

    def read(self, texts: Sequence[str]) -> ShingleSets:
        """Sets of shingles of some texts."""
        ...

    def overlap(self, text: str) -> Overlap:
        """Return what compares a text with others, exactly."""
        ...


def shingles_of(shingle: str) -> Shingles:
    """Return the kind of shingles that `Nc` (characters) or `Nw` (words) names."""
    size = int(shingle[:-1])
    if shingle.endswith("w"):
        return GramSets(WordGrams(size))
    return PackedGrams(size) if size <= _PACKED else GramSets(CharacterGrams(size))


class PackedGrams:
    """Up to three characters: packed into 64 bits and mixed, one number for one shingle."""

    def __init__(self, size: int) -> None:
        """size: characters of a shingle, 1 to 3."""
        self._size = size

    def read(self, texts: Sequence[str]) -> ShingleSets:
        """Sets of shingles of some texts."""
        codes, borders = code_points(texts)
        lengths = np.diff(borders)
        counts = np.maximum(lengths - self._size + 1, 1)
        rows, at = spread(borders[:-1], counts)
        packed = np.zeros(len(at), np.uint64)
        # The last of a row of short texts may be beyond the end of all.
        padded = np.concatenate((codes, np.zeros(self._size, np.uint64)))
        for offset in range(self._size):
            packed <<= np.uint64(_CODE_BITS)
            packed |= padded[at + offset]
        for row in np.flatnonzero(lengths < self._size).tolist():
            start, end = borders[row : row + 2]
            packed[rows.searchsorted(row)] = _short(codes[start:end].tolist())
        return _distinct(mix(packed), rows, counts)

    def overlap(self, text: str) -> Overlap:
        """Return what compares a text with others, as sorted integers."""
        mine = self.read([text]).hashes

        def compare(other: str) -> tuple[int, int]:
            theirs = self.read([other]).hashes
            at = mine.searchsorted(theirs)
            at[at == len(mine)] = 0
            common = int(np.count_nonzero(mine[at] == theirs))
            return common, len(mine) + len(theirs) - common

        return compare


def _short(codes: list[int]) -> np.uint64:
    """Number of a text shorter than a shingle: the length keeps a U+0000 in front apart."""
    number = 0
    for code in codes:
        number = number << _CODE_BITS | code
    return np.uint64(_SHORT | len(codes) << _LENGTH_AT | number)


def _distinct(hashes: Words, rows: Ints, counts: Ints) -> ShingleSets:
    """Sort within each row, and leave out what is there twice."""
    ends = np.cumsum(counts)
    begin = 0
    for end in ends.tolist():
        hashes[begin:end].sort()
        begin = end
    new = np.ones(len(hashes), np.bool_)
    new[1:] = hashes[1:] != hashes[:-1]
    new[ends[:-1]] = True
    rows = rows[new]
    starts = rows.searchsorted(np.arange(len(counts) + 1))
    return ShingleSets(rows, hashes[new], starts, np.diff(starts))


class Grams(Protocol):
    """Shingles as Python values; those of different texts are equal when the shingles are."""

    def __call__(self, text: str) -> set[Hashable]:
        """Set of shingles of a text."""
        ...


class GramSets:
    """Any shingles, compared as sets of Python values; their hashes only lead to candidates."""

    def __init__(self, grams: Grams) -> None:
        self._grams = grams

    def read(self, texts: Sequence[str]) -> ShingleSets:
        """Sets of shingles of some texts."""
        sets = [self._grams(text) for text in texts]
        sizes = np.array([len(one) for one in sets], np.int64)
        hashes = np.concatenate([_hashes(one) for one in sets])
        found = _distinct(hashes, np.repeat(np.arange(len(sets)), sizes), sizes)
        found.sizes = sizes
        return found

    def overlap(self, text: str) -> Overlap:
        """Return what compares a text with others, as sets."""
        mine = self._grams(text)

        def compare(other: str) -> tuple[int, int]:
            theirs = self._grams(other)
            common = len(mine & theirs)
            return common, len(mine) + len(theirs) - common

        return compare


def _hashes(grams: Iterable[Hashable]) -> Words:
    """Hash shingles, the same in every process."""
    digests = [mmh3.hash_bytes(repr(gram).encode())[:8] for gram in grams]
    return np.frombuffer(b"".join(digests), "<u8").copy()


class CharacterGrams:
    """n-grams of characters."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, text: str) -> set[Hashable]:
        """Set of the n-grams of a text."""
        size = self._size
        return {text[at : at + size] for at in range(max(len(text) - size + 1, 1))}


class WordGrams:
    """n-grams of words: runs of letters (Unicode's categories L) and digits (Nd)."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, text: str) -> set[Hashable]:
        """Set of the n-grams of a text; of one with too few words, the text."""
        found, size = words(text), self._size
        if len(found) < size:
            return {text}
        return {tuple(found[at : at + size]) for at in range(len(found) - size + 1)}


class _LetterOrSpace(dict[int, str]):
    """Maps letters and digits to themselves, everything else to a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        self[code] = kept = char if category[0] == "L" or category == "Nd" else " "
        return kept


_KEPT = _LetterOrSpace()
# More than a language has; all there are would take 100 MB.
_MOST_KEPT = 100_000
_ASCII_WORD = re.compile("[A-Za-z0-9]+")


def words(text: str) -> list[str]:
    """Words of a text."""
    if text.isascii():
        return _ASCII_WORD.findall(text)
    if len(_KEPT) > _MOST_KEPT:
        _KEPT.clear()
    return text.translate(_KEPT).split()
