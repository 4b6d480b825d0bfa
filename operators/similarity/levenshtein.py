"""Levenshtein similarity: (length − distance) / length, of the longer text, in code points.

Signatures: of n pieces of a text that do not overlap, d edits leave at least n − d
as they were, though they may move.  So a text is found by d + 1 of its pieces of w
characters, those that fewest others have, and looks for all of its windows of w; in
long texts near where they are, since d edits move a piece by d characters at most.
Source: Li, Deng, Wang & Feng 2011 (PassJoin) for pieces; Qin, Wang, Lu, Xiao & Lin
2011 for windows on one side and pieces on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from operators.columns.arrays import Bools, Floats, Ints
from operators.errors import SettingsError
from operators.similarity.hashing import GOLDEN, Words, mix
from operators.similarity.signatures import (
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

# Long pieces are rare in prose; of short ones, some are rare in texts made from a template.
_LONG_PIECE, _SHORT_PIECE = 14, 6
# For each so many pieces another one that similar texts share, if there are as many to
# spare: one may be shared by chance, and a few more among many cost little.
_PIECES_A_SHARED = 16
# From so many texts on, comparing them in one call is faster.
_TOGETHER = 4
_SLACK = 1e-9
_EFFORT = 100
_GRAM = 2
# An edit touches two grams of two characters, and puts two in their place.
_BITS_AN_EDIT = 2 * _GRAM
_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
# Stands for "any text of this group": no piece of it need be left as it was.
_ANY = 0
# Where a piece may be: in texts of many edits a zone of 2 ** n characters, or the next one,
# which leaves a part of the candidates at the price of twice the look-ups.
_MANY_EDITS = 20
_ONE_ZONE, _ZONE_BITS = 62, 6
_ZONE = np.uint64(0xD1342543DE82EF95)


class LevenshteinSimilarity:
    """Measures the share of characters that need no edit."""

    def __init__(self, threshold: float) -> None:
        """threshold: in (0, 1].  Raises SettingsError if rapidfuzz is not installed."""
        self.threshold = threshold
        self._least = lowered(threshold)
        self._groups = Groups(threshold, smallest=0)
        self._edits = np.zeros(0, np.int64)
        self._shared = self._zones = self._edits
        self._widths: list[Ints] = []
        self._powers, self._inverses = np.ones(1, np.uint64), np.ones(1, np.uint64)
        self._distance, self._distances = _rapidfuzz()

    def read(self, texts: Sequence[str]) -> Reading:
        """Read some texts."""
        codes, starts = code_points(texts)
        sizes = np.diff(starts)
        self._prepare(int(sizes.max()), len(codes))
        own = self._groups.of(sizes)
        windows = _Windows(codes, self._powers, self._inverses)
        return Reading(
            sizes=sizes,
            bit_sketches=self._sketches(codes, starts, sizes),
            asked=self._asked(windows, starts, sizes),
            offered=[self._pieces(windows, starts, widths[own], own) for widths in self._widths],
            needed=np.where(self._widths[0][own] == _ANY, 1, self._edits[own] + self._shared[own]),
        )

    def _asked(self, windows: _Windows, starts: Ints, sizes: Ints) -> Signatures:
        """All windows of the widths of pieces that similar texts may be found by."""
        first, last = self._groups.similar(sizes)
        steps = int((last - first).max()) + 1
        groups = np.stack([np.minimum(first + step, last) for step in range(steps)])
        any_, of_any = np.nonzero(self._widths[0][groups] == _ANY)
        asked = [Signatures(of_any, _any_of(groups[any_, of_any]))]
        widths = np.concatenate([widths[groups] for widths in self._widths])
        kinds = widths << _ZONE_BITS | np.tile(self._zones[groups], (len(self._widths), 1))
        for kind in np.unique(kinds[widths != _ANY]).tolist():
            width, zone = np.array([kind >> _ZONE_BITS]), kind & (1 << _ZONE_BITS) - 1
            rows = np.flatnonzero((kinds == kind).any(axis=0))
            number, at = spread(starts[rows], np.maximum(sizes[rows] - width + 1, 0))
            rows = rows[number]
            place, moved = at - starts[rows], (1 << zone - 1) - 1
            first, last = np.maximum(place - moved, 0) >> zone, (place + moved) >> zone
            asked.append(Signatures(rows, windows.hashes(at, width, first)))
            two = np.flatnonzero(first != last)
            asked.append(Signatures(rows[two], windows.hashes(at[two], width, last[two])))
        return join(asked)

    def _prepare(self, longest: int, total: int) -> None:
        if self._groups.reach(longest):
            edges = self._groups.edges
            smallest, largest = edges[:-1], (edges[1:] - 1).astype(np.float64)
            self._edits = floor_of(largest * (1 - self._least) / self._least)
            # More than twice as wide as a piece can move.
            zones = np.frexp(2.0 * self._edits)[1].astype(np.int64)
            self._zones = np.where(self._edits < _MANY_EDITS, _ONE_ZONE, zones)
            chunks = self._edits + 1
            long = np.minimum(smallest // chunks, _LONG_PIECE)
            short = np.minimum(long, _SHORT_PIECE)
            self._widths = [long] if (long == short).all() else [long, short]
            wanted = 1 + chunks // _PIECES_A_SHARED
            left = smallest // np.maximum(long, 1) - self._edits
            self._shared = np.where(long == _ANY, 1, np.minimum(left, wanted))
        if len(self._powers) <= total:
            size = 1 << total.bit_length()
            self._powers = _powers(_BASE, size)
            self._inverses = _powers(_INVERSE, size)

    def _pieces(self, windows: _Windows, starts: Ints, widths: Ints, own: Ints) -> Signatures:
        """Pieces that a text can be found by: one after another, from its start."""
        counts = np.where(widths == _ANY, 0, np.diff(starts) // np.maximum(widths, 1))
        number, piece = spread(np.zeros(len(own), np.int64), counts)
        width = widths[number]
        place = piece * width
        zones = place >> self._zones[own][number]
        hashes = windows.hashes(starts[number] + place, width, zones)
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

    def shared(self, sizes: Ints) -> Ints:
        """How many of its pieces in an index a text shares with a similar one, at least."""
        return self._shared[self._groups.of(sizes)]

    def most_bits(self, sizes: Ints, others: Ints) -> Floats:
        """How many grams only one of two similar texts has, at most."""
        return self._most_edits(sizes, others).astype(np.float64) * _BITS_AN_EDIT

    def effort(self, length: int, others: Ints) -> Floats:
        """Steps that it takes to compare a text with others by their lengths."""
        longer = np.maximum(length, others).astype(np.float64)
        # rapidfuzz goes along one text with as many words as the edits allowed need bits.
        words = 1 + longer * (1 - self._least) / 64
        return longer * words + _EFFORT

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """Similarities of a text to others; less than the threshold where they are not so."""
        longer = [max(len(text), len(other)) for other in others]
        # One more than the bound stands for "more".
        most = int(max(longer) * (1 - self._least) + _SLACK)
        if len(others) < _TOGETHER:
            distances = [self._distance(text, other, score_cutoff=most) for other in others]
        else:
            distances = self._distances([text], others, score_cutoff=most)
        # One rounding: 93 of 100 are 0.93, and 1 − 7 / 100 is a little less.
        return [
            (length - distance) / length if length else 1.0
            for distance, length in zip(distances, longer, strict=True)
        ]


class _Windows:
    """Hashes of all windows of some code points.  Source: Karp & Rabin 1987, modulo 2^64."""

    def __init__(self, codes: Words, powers: Words, inverses: Words) -> None:
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum((codes + np.uint64(1)) * powers[: len(codes)], out=self._sums[1:])
        self._inverses = inverses

    def hashes(self, at: Ints, width: Ints, zones: Ints) -> Words:
        """Hashes of the windows that begin at some positions, in some zones of their texts."""
        windows = (self._sums[at + width] - self._sums[at]) * self._inverses[at]
        return mix(windows + width.astype(np.uint64) * GOLDEN + zones.astype(np.uint64) * _ZONE)


def _rapidfuzz() -> tuple[Any, Callable[..., list[int]]]:
    """Distance of two texts, and of one text to many."""
    try:
        distance = import_module("rapidfuzz.distance.Levenshtein").distance
        cdist = import_module("rapidfuzz.process").cdist
    except ImportError:
        msg = (
            "DEDUP_SIMILARITY_METRIC=levenshtein needs the extra `similarity`: "
            "pip install 'bytewax-dedup[similarity]', or use jaccard"
        )
        raise SettingsError(msg) from None

    def distances(one: list[str], others: Sequence[str], **options: int) -> list[int]:
        found: list[int] = cdist(one, others, scorer=distance, **options)[0].tolist()
        return found

    return distance, distances


def _powers(base: int, count: int) -> Words:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _any_of(groups: Ints) -> Words:
    return mix(~groups.astype(np.uint64))
