"""Levenshtein similarity: 1 − distance / length of the longer, in code points.

Signatures: of n pieces of a text that do not overlap, d edits leave at least n − d
as they were, though they may move.  So a text is found by d + 1 of its pieces of w
characters, those that fewest others have, and looks for all of its windows of w.
Source: Li, Deng, Wang & Feng 2011 (PassJoin) for pieces; Qin, Wang, Lu, Xiao & Lin
2011 for windows on one side and pieces on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from operators.batches import Bools, Floats, Ints
from operators.errors import SettingsError
from operators.similarity.hashing import GOLDEN, Words, mix
from operators.similarity.signatures import (
    Compare,
    Groups,
    Reading,
    Signatures,
    code_points,
    floor_of,
    join,
    lowered,
    parity_sketches,
    spread,
)

# Of how many pieces one is chosen, about: more leave more to choose from, but are shorter.
_CHOICE = 2
_LONGEST_PIECE = 16
_EFFORT = 100
_GRAM = 2
# An edit touches two grams of two characters, and puts two in their place.
_BITS_AN_EDIT = 2 * _GRAM
_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
# Stands for "any text of this group": no piece of it need be left as it was.
_ANY = 0


class LevenshteinSimilarity:
    """Measures the share of characters that need no edit."""

    def __init__(self, threshold: float) -> None:
        """threshold: in (0, 1].  Raises SettingsError if rapidfuzz is not installed."""
        self.threshold = threshold
        self._least = lowered(threshold)
        self._groups = Groups(threshold, smallest=0)
        self._edits = self._widths = np.zeros(0, np.int64)
        self._powers, self._inverses = np.ones(1, np.uint64), np.ones(1, np.uint64)
        self._distance = _rapidfuzz()

    def read(self, texts: Sequence[str]) -> Reading:
        """Read some texts."""
        codes, starts = code_points(texts)
        sizes = np.diff(starts)
        self._prepare(int(sizes.max()), len(codes))
        own = self._groups.of(sizes)
        windows = _Windows(codes, self._powers, self._inverses)
        offered = [self._pieces(windows, starts, own)]
        asked = []
        first, last = self._groups.similar(sizes)
        steps = range(int((last - first).max()) + 1)
        wanted = np.stack([self._widths[np.minimum(first + step, last)] for step in steps])
        for width in np.unique(wanted).tolist():
            rows = np.flatnonzero((wanted == width).any(axis=0))
            if width == _ANY:
                for step in steps:
                    group = np.minimum(first + step, last)[rows]
                    here = self._widths[group] == _ANY
                    asked.append(Signatures(rows[here], _any_of(group[here])))
            else:
                counts = np.maximum(sizes[rows] - width + 1, 0)
                number, at = spread(starts[rows], counts)
                asked.append(Signatures(rows[number], windows.hashes(at, np.array([width]))))
        return Reading(
            sizes=sizes,
            sketches=self._sketches(codes, starts, sizes),
            asked=join(asked),
            offered=join(offered),
            needed=np.where(self._widths[own] == _ANY, 1, self._edits[own] + 1),
        )

    def _prepare(self, longest: int, total: int) -> None:
        if self._groups.reach(longest):
            edges = self._groups.edges
            smallest, largest = edges[:-1], (edges[1:] - 1).astype(np.float64)
            self._edits = floor_of(largest * (1 - self._least) / self._least)
            pieces = self._edits + 1
            width = np.minimum(smallest // pieces, _LONGEST_PIECE)
            self._widths = np.where(
                width > _CHOICE, np.maximum(width // _CHOICE, np.minimum(width, 2)), width
            )
        if len(self._powers) <= total:
            size = 1 << total.bit_length()
            self._powers = _powers(_BASE, size)
            self._inverses = _powers(_INVERSE, size)

    def _pieces(self, windows: _Windows, starts: Ints, own: Ints) -> Signatures:
        """Pieces that a text can be found by: one after another, from its start."""
        widths = self._widths[own]
        sizes = np.diff(starts)
        counts = np.where(widths == _ANY, 0, sizes // np.maximum(widths, 1))
        number, piece = spread(np.zeros(len(own), np.int64), counts)
        width = widths[number]
        hashes = windows.hashes(starts[number] + piece * width, width)
        any_ = np.flatnonzero(widths == _ANY)
        return join([Signatures(number, hashes), Signatures(any_, _any_of(own[any_]))])

    @staticmethod
    def _sketches(codes: Words, starts: Ints, sizes: Ints) -> Words:
        rows, at = spread(starts[:-1], np.maximum(sizes - _GRAM + 1, 0))
        grams = mix(codes[at] << np.uint64(32) | codes[at + 1])
        return parity_sketches(len(sizes), rows, grams)

    def _most_edits(self, sizes: Ints, others: Ints) -> Ints:
        return floor_of(np.maximum(sizes, others) * (1 - self._least))

    def possible(self, sizes: Ints, others: Ints) -> Bools:
        """Tell which pairs of lengths can be similar enough."""
        fits: Bools = np.abs(sizes - others) <= self._most_edits(sizes, others)
        return fits

    def most_bits(self, sizes: Ints, others: Ints) -> Floats:
        """How many grams only one of two similar texts has, at most."""
        bound: Floats = self._most_edits(sizes, others) * float(_BITS_AN_EDIT)
        return bound

    def effort(self, length: int, other: int) -> float:
        """Steps that it takes to compare texts of two lengths."""
        longer = max(length, other)
        # rapidfuzz goes along one text with as many words as the edits allowed need bits.
        return _EFFORT + longer * (1 + longer * (1 - self._least) / 64)

    def comparison(self, text: str) -> Compare:
        """Return what compares a text with others, one after another."""
        distance = self._distance

        def compare(other: str, least: float) -> float:
            longer = max(len(text), len(other))
            if not longer:
                return 1.0
            # One more than the bound says "more"; such a similarity is below `least`.
            most = int((1 - lowered(least)) * longer + 1e-9) + 1
            similarity: float = 1 - distance(text, other, score_cutoff=most) / longer
            return similarity

        return compare


class _Windows:
    """Hashes of all windows of some code points.  Source: Karp & Rabin 1987, modulo 2^64."""

    def __init__(self, codes: Words, powers: Words, inverses: Words) -> None:
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum((codes + np.uint64(1)) * powers[: len(codes)], out=self._sums[1:])
        self._inverses = inverses

    def hashes(self, at: Ints, width: Ints) -> Words:
        """Hashes of the windows that begin at some positions."""
        windows = (self._sums[at + width] - self._sums[at]) * self._inverses[at]
        return mix(windows + width.astype(np.uint64) * GOLDEN)


def _rapidfuzz() -> Any:  # noqa: ANN401 - the function of an extra
    try:
        return import_module("rapidfuzz.distance.Levenshtein").distance
    except ImportError:
        msg = (
            "DEDUP_SIMILARITY_METRIC=levenshtein needs the extra `similarity`: "
            "pip install 'bytewax-dedup[similarity]', or use jaccard"
        )
        raise SettingsError(msg) from None


def _powers(base: int, count: int) -> Words:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _any_of(groups: Ints) -> Words:
    return mix(~groups.astype(np.uint64))
