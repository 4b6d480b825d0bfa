"""Features of texts for the index, and what a measure of similarity must provide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Floats, Ints
from operators.similarity.hashing import Words

AnyInts: TypeAlias = npt.NDArray[np.signedinteger[Any]]

# Wider sketches tell more texts with few differences apart, but each record holds one.
SKETCH_BITS = 256
SKETCH_WORDS = SKETCH_BITS // 64

# Thresholds are doubles.  A quotient of two integers that rounds to the threshold is
# less than this share below it.
_ROUNDING = 1e-12
# Added before a bound is rounded down, so that no rounding error makes it too small.
_SLACK = 1e-9


@dataclass(slots=True)
class Signatures:
    """Signatures with the row of each, in any order within a row."""

    rows: Ints
    hashes: Words


@dataclass(slots=True)
class Features:
    """Features of some texts, by which an index finds the few that can be similar.

    sizes: texts whose sizes differ too much are not similar.  bit_sketches: shape
    (n, SKETCH_WORDS); few differences make few different bits.  probes: the signatures
    that a text searches for.  offered: one or more sets of signatures to store a text
    by; if any `needed` signatures of one set are stored, every similar text finds it.
    """

    sizes: Ints
    bit_sketches: Words
    probes: Signatures
    offered: list[Signatures]
    needed: Ints


class Measure(Protocol):
    """A measure of similarity whose signatures miss no text at its threshold."""

    threshold: float

    def read(self, texts: Sequence[str]) -> Features:
        """Extract the features of some texts, at least one."""
        ...

    def possible(self, sizes: Ints, others: Ints) -> Bools:
        """Tell which pairs of sizes can be similar enough."""
        ...

    def shared(self, sizes: Ints) -> Ints:
        """Return how many of its stored signatures a text of each size shares, at least.

        It shares them with the probes of a text that is similar enough.
        """
        ...

    def max_different_bits(self, sizes: Ints, others: Ints) -> Floats:
        """Return how many bits of two sketches can differ if the texts are similar enough."""
        ...

    def effort(self, length: int, others: Ints) -> Floats:
        """Estimate the steps, of about 8 ns, that comparing a text with others takes.

        length, others: lengths of the text and of the others.
        """
        ...

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """Return the similarity to each of others; below the threshold any lower number."""
        ...


def lowered(threshold: float) -> float:
    """Return a threshold just low enough that no rounded quotient misses it."""
    return threshold * (1 - _ROUNDING)


def floor_of(bounds: Floats) -> Ints:
    """Round down; a bound that a rounding error put just below an integer becomes that."""
    return np.floor(bounds * (1 + _ROUNDING) + _SLACK).astype(np.int64)


class SizeGroups:
    """Groups of sizes: [edges[g], edges[g + 1]), each about 1 / threshold times the one before.

    The texts that can be similar to one text are in two or three groups.
    """

    # Without it a threshold near 1 would make a group for every size.
    _MIN_RATIO = 1.02

    def __init__(self, threshold: float, smallest: int) -> None:
        """threshold: in (0, 1].  smallest: the smallest size of a text."""
        self._lowered = lowered(threshold)
        self._ratio = max(1 / self._lowered, self._MIN_RATIO)
        self.edges: Ints = np.array([smallest, smallest + 1], np.int64)

    def reach(self, size: int) -> bool:
        """Add groups up to the sizes that can be similar to `size`; return whether any is new."""
        last = int(size / self._lowered) + 2
        edges = self.edges.tolist()
        if edges[-1] > last:
            return False
        while edges[-1] <= last:
            edges.append(max(edges[-1] + 1, int(edges[-1] * self._ratio)))
        self.edges = np.array(edges, np.int64)
        return True

    def of(self, sizes: Ints) -> Ints:
        """Return the group of each size."""
        return self.edges.searchsorted(sizes, "right") - 1

    def similar(self, sizes: Ints) -> tuple[Ints, Ints]:
        """Return the first and last group that can hold a text similar to each size."""
        smallest = np.ceil(sizes * self._lowered - _SLACK).astype(np.int64)
        return self.of(smallest), self.of(floor_of(sizes / self._lowered))


def parity_sketches(count: int, rows: Ints, hashes: Words) -> Words:
    """Make sketches in which each item flips one bit; the same item twice flips it back.

    Each item that only one of two multisets has flips one bit.  So the sketches differ in
    at most as many bits as there are such items.
    """
    at = rows * SKETCH_BITS + (hashes & np.uint64(SKETCH_BITS - 1)).astype(np.int64)
    odd = (np.bincount(at, minlength=count * SKETCH_BITS) & 1).astype(np.uint8)
    packed: npt.NDArray[np.uint8] = np.packbits(odd)
    return packed.view(np.uint64).reshape(count, SKETCH_WORDS)


def code_points(texts: Sequence[str]) -> tuple[Words, Ints]:
    """Return the code points of all texts in one array, and where each text begins.

    A last start is where the last text ends.
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint64)
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=starts[1:])
    return codes, starts


def expand_ranges(firsts: AnyInts, counts: AnyInts) -> tuple[Ints, Ints]:
    """Expand ranges of `counts` positions from `firsts` on.

    Returns the index of each position's range, and the positions.
    """
    range_of = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return range_of, np.arange(len(range_of)) + np.repeat(firsts - before, counts)


def concat(parts: Sequence[Signatures]) -> Signatures:
    """Concatenate signatures."""
    if len(parts) == 1:
        return parts[0]
    return Signatures(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.hashes for part in parts]),
    )
