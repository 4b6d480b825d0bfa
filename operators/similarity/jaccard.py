"""Jaccard similarity: common shingles over all shingles of two texts.

For thresholds from 0.6 signatures are parts of the set.  A set is cut into parts by its
shingles' hashes; all sets of about the same size are cut alike.  Similar sets differ in
at most H shingles, so all but H of their parts are equal: of any H + 1 parts at least
one.  A text searches for all of its parts.  The index stores its H + 1 rarest parts.
Source: Arasu, Ganti & Kaushik 2006 (PartEnum) for the parts; Deng, Li, Wen & Feng
2015 for choosing the rarest ones.

Below that threshold a part would be smaller than a shingle, so signatures are single
shingles: of any |A| − t·|A| + 1 shingles of A, a similar set has at least one.
Source: Chaudhuri, Ganti & Kaushik 2006 (prefix filter).  Only the indexed side chooses,
so each text may choose its rarest shingles whatever other texts chose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.columns.arrays import Bools, Floats, Ints
from operators.similarity.hashing import mix
from operators.similarity.shingles import ShingleSets, shingles_of
from operators.similarity.signatures import (
    Features,
    Signatures,
    SizeGroups,
    concat,
    expand_ranges,
    floor_of,
    lowered,
    parity_sketches,
)

_MIN_THRESHOLD_FOR_PARTS = 0.6
# About: larger parts are rarer, smaller parts leave more to choose from.
_SHINGLES_PER_PART = 12
# Measured, in steps of 8 ns: the time to read another text and to look up its shingles.
_EFFORT, _EFFORT_PER_CHARACTER = 2000, 15


class Jaccard:
    """Measures the share of shingles that two texts have in common."""

    def __init__(self, threshold: float, shingle: str) -> None:
        """threshold: in (0, 1].  shingle: `Nc` or `Nw`."""
        self.threshold = threshold
        self._shingles = shingles_of(shingle)
        self._lowered = lowered(threshold)
        self._groups = SizeGroups(threshold, smallest=1)
        self._parts = self._max_differences = np.zeros(0, np.int64)

    def read(self, texts: Sequence[str]) -> Features:
        """Extract the features of some texts."""
        sets = self._shingles.read(texts)
        bit_sketches = parity_sketches(len(texts), sets.rows, sets.hashes)
        if self.threshold < _MIN_THRESHOLD_FOR_PARTS:
            probes = offered = Signatures(sets.rows, sets.hashes)
            needed = sets.sizes - np.ceil(sets.sizes * self._lowered - 1e-9).astype(np.int64) + 1
        else:
            probes, offered, needed = self._cut(sets)
        return Features(sets.sizes, bit_sketches, probes, [offered], needed)

    def _cut(self, sets: ShingleSets) -> tuple[Signatures, Signatures, Ints]:
        """Cut sets as their own size group is cut, and as the groups of similar sizes are."""
        if self._groups.reach(int(sets.sizes.max())):
            largest = (self._groups.edges[1:] - 1).astype(np.float64)
            # |A Δ B| ≤ (1 − t) / (1 + t) · (|A| + |B|) and |A| ≤ |B| / t.
            self._max_differences = floor_of(largest * (1 - self._lowered) / self._lowered)
            self._parts = np.maximum(
                self._max_differences + 1, (largest / _SHINGLES_PER_PART).astype(np.int64)
            )
        own = self._groups.of(sets.sizes)
        first, last = self._groups.similar(sets.sizes)
        probes = []
        offered = []
        for step in range(int((last - first).max()) + 1):
            group = first + step
            rows = np.flatnonzero(group <= last)
            signatures = self._parts_of(sets, rows, group[rows])
            probes.append(signatures)
            own_parts = (group == own)[signatures.rows]
            offered.append(Signatures(signatures.rows[own_parts], signatures.hashes[own_parts]))
        return concat(probes), concat(offered), self._max_differences[own] + 1

    def _parts_of(self, sets: ShingleSets, rows: Ints, groups: Ints) -> Signatures:
        """Return the signatures of some rows' parts; each row is cut as its group is."""
        counts = self._parts[groups]
        ends = np.cumsum(counts)
        lengths = np.diff(sets.starts)[rows]
        if len(rows) == len(sets.sizes):
            set_of, hashes = sets.rows, sets.hashes
        else:
            set_of, at = expand_ranges(sets.starts[rows], lengths)
            hashes = sets.hashes[at]
        part = (hashes >> np.uint64(32)) * counts[set_of].astype(np.uint64) >> np.uint64(32)
        slot = part.astype(np.int64) + (ends - counts)[set_of]
        # Hashes rise within a row, so slots rise too: equal slots are adjacent.
        begins = np.flatnonzero(np.diff(slot, prepend=-1))
        sums = np.zeros(int(ends[-1]), np.uint64)
        sums[slot[begins]] = np.add.reduceat(hashes, begins)
        set_of, place = expand_ranges(np.zeros(len(rows), np.int64), counts)
        salt = (groups[set_of] << 32 | place).astype(np.uint64)
        return Signatures(rows[set_of], mix(sums ^ mix(salt)))

    def possible(self, sizes: Ints, others: Ints) -> Bools:
        """Tell which pairs of sizes can be similar enough."""
        smaller, larger = np.minimum(sizes, others), np.maximum(sizes, others)
        fits: Bools = smaller >= larger * self._lowered - 1e-9
        return fits

    def shared(self, sizes: Ints) -> Ints:
        """Return the least number of indexed signatures that a similar text shares."""
        return np.ones_like(sizes)

    def max_different_bits(self, sizes: Ints, others: Ints) -> Floats:
        """Return the largest number of shingles that only one of two similar sets has."""
        share = (1 - self._lowered) / (1 + self._lowered)
        return np.asarray((sizes + others) * share + 1e-6, np.float64)

    def effort(self, length: int, others: Ints) -> Floats:
        """Estimate the steps that comparing a text with others takes, by their lengths."""
        del length
        return np.asarray(others * _EFFORT_PER_CHARACTER + _EFFORT, np.float64)

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """Return the similarity of a text to each of others."""
        overlap = self._shingles.overlap(text)
        return [common / union for common, union in map(overlap, others)]
