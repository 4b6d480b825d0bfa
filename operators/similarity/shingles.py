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
from operators.similarity.signatures import code_points, expand_ranges

# A code point has 21 bits, so three fit into 64.
_MAX_PACKED = 3
_CODE_BITS = 21
_SHORT = 1 << 63
_LENGTH_AT = 60


@dataclass(slots=True)
class ShingleSets:
    """Sets of shingles of some texts, as hashes that rise within a row.

    starts: where each row begins in `hashes`, and where the last ends.  sizes: of the
    sets; a row has fewer hashes only where two shingles have the same hash.
    """

    rows: Ints
    hashes: Words
    starts: Ints
    sizes: Ints


class Overlap(Protocol):
    """Compares the shingles of one text with those of other texts."""

    def __call__(self, other: str) -> tuple[int, int]:
        """Return the sizes of the intersection and of the union."""
        ...


class Shingles(Protocol):
    """A kind of shingles.  A text shorter than a shingle is its own single shingle."""

    def read(self, texts: Sequence[str]) -> ShingleSets:
        """Make the sets of shingles of some texts."""
        ...

    def overlap(self, text: str) -> Overlap:
        """Return a function that compares a text with others, exactly."""
        ...


def shingles_of(shingle: str) -> Shingles:
    """Make shingles of N characters (`Nc`) or N words (`Nw`)."""
    size = int(shingle[:-1])
    if shingle.endswith("w"):
        return GramSets(WordGrams(size))
    return PackedGrams(size) if size <= _MAX_PACKED else GramSets(CharacterGrams(size))


class PackedGrams:
    """n-grams of up to three characters; each is packed into 64 bits and mixed, without loss."""

    def __init__(self, size: int) -> None:
        """size: characters of a shingle, 1 to 3."""
        self._size = size

    def read(self, texts: Sequence[str]) -> ShingleSets:
        """Make the sets of shingles of some texts."""
        codes, borders = code_points(texts)
        lengths = np.diff(borders)
        counts = np.maximum(lengths - self._size + 1, 1)
        rows, at = expand_ranges(borders[:-1], counts)
        packed = np.zeros(len(at), np.uint64)
        # Short texts at the end read up to `size` code points past the last one.
        padded = np.concatenate((codes, np.zeros(self._size, np.uint64)))
        for offset in range(self._size):
            packed <<= np.uint64(_CODE_BITS)
            packed |= padded[at + offset]
        for row in np.flatnonzero(lengths < self._size).tolist():
            start, end = borders[row : row + 2]
            packed[rows.searchsorted(row)] = _short(codes[start:end].tolist())
        return _distinct(mix(packed), rows, counts)

    def overlap(self, text: str) -> Overlap:
        """Return a function that compares a text with others, as sorted integers."""
        own = self.read([text]).hashes

        def compare(other: str) -> tuple[int, int]:
            others = self.read([other]).hashes
            at = own.searchsorted(others)
            at[at == len(own)] = 0
            common = int(np.count_nonzero(own[at] == others))
            return common, len(own) + len(others) - common

        return compare


def _short(codes: list[int]) -> np.uint64:
    """Pack a text shorter than a shingle; the length tells leading U+0000 apart."""
    packed = 0
    for code in codes:
        packed = packed << _CODE_BITS | code
    return np.uint64(_SHORT | len(codes) << _LENGTH_AT | packed)


def _distinct(hashes: Words, rows: Ints, counts: Ints) -> ShingleSets:
    """Sort within each row, and drop repeated hashes."""
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
    """Shingles as Python values, which are equal where the shingles are."""

    def __call__(self, text: str) -> set[Hashable]:
        """Make the set of shingles of a text."""
        ...


class GramSets:
    """Any shingles, compared as sets of Python values; hashes only find candidates."""

    def __init__(self, grams: Grams) -> None:
        self._grams = grams

    def read(self, texts: Sequence[str]) -> ShingleSets:
        """Make the sets of shingles of some texts."""
        sets = [self._grams(text) for text in texts]
        sizes = np.array([len(grams) for grams in sets], np.int64)
        hashes = np.concatenate([_hashes(grams) for grams in sets])
        shingle_sets = _distinct(hashes, np.repeat(np.arange(len(sets)), sizes), sizes)
        shingle_sets.sizes = sizes
        return shingle_sets

    def overlap(self, text: str) -> Overlap:
        """Return a function that compares a text with others, as sets."""
        own = self._grams(text)

        def compare(other: str) -> tuple[int, int]:
            others = self._grams(other)
            common = len(own & others)
            return common, len(own) + len(others) - common

        return compare


def _hashes(grams: Iterable[Hashable]) -> Words:
    """Hash shingles to the same values in every process."""
    digests = [mmh3.hash_bytes(repr(gram).encode())[:8] for gram in grams]
    return np.frombuffer(b"".join(digests), "<u8").copy()


class CharacterGrams:
    """n-grams of characters."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, text: str) -> set[Hashable]:
        """Make the set of the n-grams of a text."""
        size = self._size
        return {text[at : at + size] for at in range(max(len(text) - size + 1, 1))}


class WordGrams:
    """n-grams of words: runs of letters (Unicode's categories L) and digits (Nd)."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, text: str) -> set[Hashable]:
        """Make the set of the n-grams of a text; the text itself if it has too few words."""
        all_words, size = words(text), self._size
        if len(all_words) < size:
            return {text}
        return {tuple(all_words[at : at + size]) for at in range(len(all_words) - size + 1)}


class _LetterOrSpace(dict[int, str]):
    """Maps letters and digits to themselves, everything else to a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        self[code] = kept = char if category[0] == "L" or category == "Nd" else " "
        return kept


_CHARACTERS = _LetterOrSpace()
# More characters than a language has; all of Unicode would take 100 MB.
_MAX_CACHED = 100_000
_ASCII_WORD = re.compile("[A-Za-z0-9]+")


def words(text: str) -> list[str]:
    """Split a text into words."""
    if text.isascii():
        return _ASCII_WORD.findall(text)
    if len(_CHARACTERS) > _MAX_CACHED:
        _CHARACTERS.clear()
    return text.translate(_CHARACTERS).split()
