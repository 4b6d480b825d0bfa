"""Levenshtein similarity: (length − distance) / length, of the longer text, in code points.

Signatures are pieces of w characters that do not overlap.  d edits leave all but d of a
text's pieces unchanged, though they may move them.  So the index stores the d + 1 rarest
pieces of a text, and a text searches for all of its windows of w characters.  d edits
move a piece by at most d characters, so long texts search only near each position.
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
    Features,
    Signatures,
    SizeGroups,
    code_points,
    concat,
    expand_ranges,
    floor_of,
    lowered,
    parity_sketches,
)

# Long pieces are rare in prose; in texts made from a template, only some short ones are.
_LONG_PIECE, _SHORT_PIECE = 14, 6
# For each 16 pieces a candidate must share one piece more, where there are pieces to
# spare.  Texts share a piece by chance; a few more stored pieces among many cost little.
_PIECES_PER_SHARED = 16
# From this many texts on, one call that compares them all is faster.
_MIN_TEXTS_FOR_CDIST = 4
_SLACK = 1e-9
_EFFORT = 100
_GRAM = 2
# An edit removes two grams of two characters and adds two.
_BITS_PER_EDIT = 2 * _GRAM
_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
# Stands for "any text of this size group": edits may change each of its pieces.
_ANY = 0
# Texts with many edits are cut into zones of 2 ** n characters; a moved piece is in its own
# zone or the next one.  That leaves fewer candidates, for twice the look-ups.
_MANY_EDITS = 20
_ONE_ZONE, _ZONE_BITS = 62, 6
_ZONE = np.uint64(0xD1342543DE82EF95)


class LevenshteinSimilarity:
    """Measures the share of characters that need no edit."""

    def __init__(self, threshold: float) -> None:
        """threshold: in (0, 1].  Raises SettingsError if rapidfuzz is not installed."""
        self.threshold = threshold
        self._lowered = lowered(threshold)
        self._groups = SizeGroups(threshold, smallest=0)
        self._edits = np.zeros(0, np.int64)
        self._min_shared = self._zones = self._edits
        self._widths: list[Ints] = []
        self._powers, self._inverses = np.ones(1, np.uint64), np.ones(1, np.uint64)
        self._distance, self._distances = _rapidfuzz()

    def read(self, texts: Sequence[str]) -> Features:
        """Extract the features of some texts."""
        codes, starts = code_points(texts)
        sizes = np.diff(starts)
        self._prepare(int(sizes.max()), len(codes))
        own = self._groups.of(sizes)
        windows = _Windows(codes, self._powers, self._inverses)
        return Features(
            sizes=sizes,
            bit_sketches=self._sketches(codes, starts, sizes),
            probes=self._probes(windows, starts, sizes),
            offered=[self._pieces(windows, starts, widths[own], own) for widths in self._widths],
            needed=np.where(
                self._widths[0][own] == _ANY, 1, self._edits[own] + self._min_shared[own]
            ),
        )

    def _probes(self, windows: _Windows, starts: Ints, sizes: Ints) -> Signatures:
        """Return all windows as wide as the pieces that the index stores of similar texts."""
        first, last = self._groups.similar(sizes)
        steps = int((last - first).max()) + 1
        groups = np.stack([np.minimum(first + step, last) for step in range(steps)])
        any_, of_any = np.nonzero(self._widths[0][groups] == _ANY)
        probes = [Signatures(of_any, _any_of(groups[any_, of_any]))]
        widths = np.concatenate([widths[groups] for widths in self._widths])
        kinds = widths << _ZONE_BITS | np.tile(self._zones[groups], (len(self._widths), 1))
        for kind in np.unique(kinds[widths != _ANY]).tolist():
            width, zone = np.array([kind >> _ZONE_BITS]), kind & (1 << _ZONE_BITS) - 1
            rows = np.flatnonzero((kinds == kind).any(axis=0))
            text_of, at = expand_ranges(starts[rows], np.maximum(sizes[rows] - width + 1, 0))
            rows = rows[text_of]
            place, moved = at - starts[rows], (1 << zone - 1) - 1
            first, last = np.maximum(place - moved, 0) >> zone, (place + moved) >> zone
            probes.append(Signatures(rows, windows.hashes(at, width, first)))
            two = np.flatnonzero(first != last)
            probes.append(Signatures(rows[two], windows.hashes(at[two], width, last[two])))
        return concat(probes)

    def _prepare(self, longest: int, total: int) -> None:
        if self._groups.reach(longest):
            edges = self._groups.edges
            smallest, largest = edges[:-1], (edges[1:] - 1).astype(np.float64)
            self._edits = floor_of(largest * (1 - self._lowered) / self._lowered)
            # More than twice as wide as a piece can move.
            zones = np.frexp(2.0 * self._edits)[1].astype(np.int64)
            self._zones = np.where(self._edits < _MANY_EDITS, _ONE_ZONE, zones)
            pieces = self._edits + 1
            long = np.minimum(smallest // pieces, _LONG_PIECE)
            short = np.minimum(long, _SHORT_PIECE)
            self._widths = [long] if (long == short).all() else [long, short]
            desired = 1 + pieces // _PIECES_PER_SHARED
            unchanged = smallest // np.maximum(long, 1) - self._edits
            self._min_shared = np.where(long == _ANY, 1, np.minimum(unchanged, desired))
        if len(self._powers) <= total:
            size = 1 << total.bit_length()
            self._powers = _powers(_BASE, size)
            self._inverses = _powers(_INVERSE, size)

    def _pieces(self, windows: _Windows, starts: Ints, widths: Ints, own: Ints) -> Signatures:
        """Cut each text into pieces from its start: the index may store any of them."""
        counts = np.where(widths == _ANY, 0, np.diff(starts) // np.maximum(widths, 1))
        text_of, piece = expand_ranges(np.zeros(len(own), np.int64), counts)
        width = widths[text_of]
        place = piece * width
        zones = place >> self._zones[own][text_of]
        hashes = windows.hashes(starts[text_of] + place, width, zones)
        any_ = np.flatnonzero(widths == _ANY)
        return concat([Signatures(text_of, hashes), Signatures(any_, _any_of(own[any_]))])

    @staticmethod
    def _sketches(codes: Words, starts: Ints, sizes: Ints) -> Words:
        rows, at = expand_ranges(starts[:-1], np.maximum(sizes - _GRAM + 1, 0))
        grams = mix(codes[at] << np.uint64(32) | codes[at + 1])
        return parity_sketches(len(sizes), rows, grams)

    def _max_edits(self, sizes: Ints, others: Ints) -> Ints:
        return floor_of(np.maximum(sizes, others) * (1 - self._lowered))

    def possible(self, sizes: Ints, others: Ints) -> Bools:
        """Tell which pairs of lengths can be similar enough."""
        fits: Bools = np.abs(sizes - others) <= self._max_edits(sizes, others)
        return fits

    def shared(self, sizes: Ints) -> Ints:
        """Return the least number of indexed pieces that a similar text shares."""
        return self._min_shared[self._groups.of(sizes)]

    def max_different_bits(self, sizes: Ints, others: Ints) -> Floats:
        """Return the largest number of grams that only one of two similar texts has."""
        return self._max_edits(sizes, others).astype(np.float64) * _BITS_PER_EDIT

    def effort(self, length: int, others: Ints) -> Floats:
        """Estimate the steps that comparing a text with others takes, by their lengths."""
        longer = np.maximum(length, others).astype(np.float64)
        # rapidfuzz scans one text with as many 64-bit words as the allowed edits need bits.
        words = 1 + longer * (1 - self._lowered) / 64
        return longer * words + _EFFORT

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """Return the similarity to each of others; below the threshold any lower number."""
        longer = [max(len(text), len(other)) for other in others]
        # rapidfuzz returns one more than the bound for any larger distance.
        max_distance = int(max(longer) * (1 - self._lowered) + _SLACK)
        if len(others) < _MIN_TEXTS_FOR_CDIST:
            distances = [self._distance(text, other, score_cutoff=max_distance) for other in others]
        else:
            distances = self._distances([text], others, score_cutoff=max_distance)
        # Rounded once: 93 / 100 is 0.93, but 1 − 7 / 100 is a little less.
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
        """Hash the windows that begin at some positions, with the zones that they are in."""
        windows = (self._sums[at + width] - self._sums[at]) * self._inverses[at]
        return mix(windows + width.astype(np.uint64) * GOLDEN + zones.astype(np.uint64) * _ZONE)


def _rapidfuzz() -> tuple[Any, Callable[..., list[int]]]:
    """Import functions for the distance of two texts, and of one text to many."""
    try:
        distance = import_module("rapidfuzz.distance.Levenshtein").distance
        cdist = import_module("rapidfuzz.process").cdist
    except ImportError:
        msg = (
            "DEDUP_SIMILARITY_METRIC=levenshtein needs the extra `similarity`: "
            "pip install 'bytewax-dedup[similarity]', or use jaccard"
        )
        raise SettingsError(msg) from None

    def distances(text: list[str], others: Sequence[str], **options: int) -> list[int]:
        row: list[int] = cdist(text, others, scorer=distance, **options)[0].tolist()
        return row

    return distance, distances


def _powers(base: int, count: int) -> Words:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _any_of(groups: Ints) -> Words:
    return mix(~groups.astype(np.uint64))
