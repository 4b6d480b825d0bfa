"""Jaccard similarity: common shingles over all shingles of two texts.

Signatures for thresholds from 0.6: the set is cut into parts by its shingles'
hashes, into the same parts for all sets of about one size.  Similar sets differ in
at most H shingles, so all but H of their parts are equal, and of any H + 1 parts
at least one.  A text looks for all of its parts, and is found by the H + 1 that
fewest others have.
Source: Arasu, Ganti & Kaushik 2006 (PartEnum) for the parts; Deng, Li, Wen & Feng
2015 for parts of unequal worth.

Below that threshold parts would be smaller than a shingle, and single shingles do:
of any |A| − t·|A| + 1 shingles of A, a similar set has at least one.
Source: Chaudhuri, Ganti & Kaushik 2006 (prefix filter), with one side only, so that
each text may choose its rarest shingles whatever the others chose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.columns.arrays import Bools, Floats, Ints
from operators.similarity.hashing import mix
from operators.similarity.shingles import ShingleSets, shingles_of
from operators.similarity.signatures import (
    Groups,
    Reading,
    Signatures,
    floor_of,
    join,
    lowered,
    parity_sketches,
    spread,
)

_PARTS_FROM = 0.6
# Shingles a part, about: larger ones are rarer, smaller ones leave more to choose from.
_SHINGLES_A_PART = 12
# Measured, in steps of 8 ns: to read the other text and to look its shingles up.
_EFFORT, _EFFORT_A_CHARACTER = 2000, 15


class Jaccard:
    """Measures the share of common shingles."""

    def __init__(self, threshold: float, shingle: str) -> None:
        """threshold: in (0, 1].  shingle: `Nc` or `Nw`."""
        self.threshold = threshold
        self._shingles = shingles_of(shingle)
        self._least = lowered(threshold)
        self._groups = Groups(threshold, smallest=1)
        self._parts = self._most_different = np.zeros(0, np.int64)

    def read(self, texts: Sequence[str]) -> Reading:
        """Read some texts."""
        sets = self._shingles.read(texts)
        bit_sketches = parity_sketches(len(texts), sets.rows, sets.hashes)
        if self.threshold < _PARTS_FROM:
            asked = offered = Signatures(sets.rows, sets.hashes)
            needed = sets.sizes - np.ceil(sets.sizes * self._least - 1e-9).astype(np.int64) + 1
        else:
            asked, offered, needed = self._cut(sets)
        return Reading(sets.sizes, bit_sketches, asked, [offered], needed)

    def _cut(self, sets: ShingleSets) -> tuple[Signatures, Signatures, Ints]:
        """Cut sets into the parts of their own group, and of those of similar sizes."""
        if self._groups.reach(int(sets.sizes.max())):
            largest = (self._groups.edges[1:] - 1).astype(np.float64)
            # |A Δ B| ≤ (1 − t) / (1 + t) · (|A| + |B|) and |A| ≤ |B| / t.
            self._most_different = floor_of(largest * (1 - self._least) / self._least)
            self._parts = np.maximum(
                self._most_different + 1, (largest / _SHINGLES_A_PART).astype(np.int64)
            )
        own = self._groups.of(sets.sizes)
        first, last = self._groups.similar(sets.sizes)
        asked = []
        offered = []
        for step in range(int((last - first).max()) + 1):
            group = first + step
            rows = np.flatnonzero(group <= last)
            signatures = self._parts_of(sets, rows, group[rows])
            asked.append(signatures)
            at_home = (group == own)[signatures.rows]
            offered.append(Signatures(signatures.rows[at_home], signatures.hashes[at_home]))
        return join(asked), join(offered), self._most_different[own] + 1

    def _parts_of(self, sets: ShingleSets, rows: Ints, groups: Ints) -> Signatures:
        """Signatures of the parts of some rows, cut as sets of given groups are."""
        counts = self._parts[groups]
        ends = np.cumsum(counts)
        lengths = np.diff(sets.starts)[rows]
        if len(rows) == len(sets.sizes):
            number, hashes = sets.rows, sets.hashes
        else:
            number, at = spread(sets.starts[rows], lengths)
            hashes = sets.hashes[at]
        part = (hashes >> np.uint64(32)) * counts[number].astype(np.uint64) >> np.uint64(32)
        slot = part.astype(np.int64) + (ends - counts)[number]
        # Hashes rise within a row, and so do the slots: each is one stretch.
        begins = np.flatnonzero(np.diff(slot, prepend=-1))
        sums = np.zeros(int(ends[-1]), np.uint64)
        sums[slot[begins]] = np.add.reduceat(hashes, begins)
        of, place = spread(np.zeros(len(rows), np.int64), counts)
        salt = (groups[of] << 32 | place).astype(np.uint64)
        return Signatures(rows[of], mix(sums ^ mix(salt)))

    def possible(self, sizes: Ints, others: Ints) -> Bools:
        """Tell which pairs of sizes can be similar enough."""
        smaller, larger = np.minimum(sizes, others), np.maximum(sizes, others)
        fits: Bools = smaller >= larger * self._least - 1e-9
        return fits

    def shared(self, sizes: Ints) -> Ints:
        """How many of its signatures in an index a text shares with a similar one, at least."""
        return np.ones_like(sizes)

    def most_bits(self, sizes: Ints, others: Ints) -> Floats:
        """How many shingles only one of two similar sets has, at most."""
        share = (1 - self._least) / (1 + self._least)
        return np.asarray((sizes + others) * share + 1e-6, np.float64)

    def effort(self, length: int, others: Ints) -> Floats:
        """Steps that it takes to compare a text with others by their lengths."""
        del length
        return np.asarray(others * _EFFORT_A_CHARACTER + _EFFORT, np.float64)

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """Similarities of a text to others."""
        overlap = self._shingles.overlap(text)
        return [common / together for common, together in map(overlap, others)]
