"""What an index needs to know of some texts, whatever the measure of similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Floats, Ints
from operators.similarity.hashing import Words

AnyInts: TypeAlias = npt.NDArray[np.signedinteger[Any]]

# Wider ones keep more apart of texts with few differences, and cost memory a record.
SKETCH_BITS = 256
SKETCH_WORDS = SKETCH_BITS // 64

# Thresholds are doubles: the quotient of two whole numbers that is rounded to one
# lies below it by less than this share.
_ROUNDING = 1e-12
# Added before rounding down a bound, so that it never errs on the small side.
_SLACK = 1e-9


@dataclass(slots=True)
class Signatures:
    """Signatures, in any order within a row, with the row of each."""

    rows: Ints
    hashes: Words


@dataclass(slots=True)
class Reading:
    """What is known of some texts.

    sizes: by which texts that differ too much are told apart.  sketches: shape
    (n, SKETCH_WORDS); few differences, few different bits.  asked: the signatures that
    a text looks for.  offered: those that it can be found by, in one way or more; in
    each of them it is found by every similar text if `needed` of its signatures,
    whichever, are in an index.
    """

    sizes: Ints
    bit_sketches: Words
    asked: Signatures
    offered: list[Signatures]
    needed: Ints


class Measure(Protocol):
    """A measure of similarity, with signatures that miss nothing at its threshold."""

    threshold: float

    def read(self, texts: Sequence[str]) -> Reading:
        """Read some texts, at least one."""
        ...

    def possible(self, sizes: Ints, others: Ints) -> Bools:
        """Tell which pairs of sizes can be similar enough."""
        ...

    def shared(self, sizes: Ints) -> Ints:
        """How many of its signatures in an index a text of each size shares, at least.

        With a text that looks for its asked ones and is similar enough.
        """
        ...

    def most_bits(self, sizes: Ints, others: Ints) -> Floats:
        """How many bits of two sketches differ at most, if the texts are similar enough."""
        ...

    def effort(self, length: int, others: Ints) -> Floats:
        """Steps that it takes to compare a text with others by their lengths, of about 8 ns."""
        ...

    def similarities(self, text: str, others: Sequence[str]) -> list[float]:
        """Similarities of a text to others; less than the threshold where they are not so."""
        ...


def lowered(threshold: float) -> float:
    """Return a threshold that no rounding of a quotient can hide behind."""
    return threshold * (1 - _ROUNDING)


def floor_of(bounds: Floats) -> Ints:
    """Round down, but never because of a rounding error."""
    return np.floor(bounds * (1 + _ROUNDING) + _SLACK).astype(np.int64)


class Groups:
    """Groups of sizes: [edges[g], edges[g + 1]), each about 1 / threshold times the one before.

    What can be similar to a text lies in two or three of them.
    """

    # With a threshold near 1 there would be a group for every size.
    _LEAST_RATIO = 1.02

    def __init__(self, threshold: float, smallest: int) -> None:
        """threshold: in (0, 1].  smallest: the smallest size there is."""
        self._least = lowered(threshold)
        self._ratio = max(1 / self._least, self._LEAST_RATIO)
        self.edges: Ints = np.array([smallest, smallest + 1], np.int64)

    def reach(self, size: int) -> bool:
        """Make groups for sizes that may be similar to `size`; False if they were there."""
        wanted = int(size / self._least) + 2
        edges = self.edges.tolist()
        if edges[-1] > wanted:
            return False
        while edges[-1] <= wanted:
            edges.append(max(edges[-1] + 1, int(edges[-1] * self._ratio)))
        self.edges = np.array(edges, np.int64)
        return True

    def of(self, sizes: Ints) -> Ints:
        """Group of each size."""
        return self.edges.searchsorted(sizes, "right") - 1

    def similar(self, sizes: Ints) -> tuple[Ints, Ints]:
        """First and last group of the sizes that can be similar to each."""
        smallest = np.ceil(sizes * self._least - _SLACK).astype(np.int64)
        return self.of(smallest), self.of(floor_of(sizes / self._least))


def parity_sketches(count: int, rows: Ints, hashes: Words) -> Words:
    """Sketches in which each item turns over one bit: the same item twice leaves no trace.

    Items in one of two multisets only turn over a bit each, so the sketches differ
    in at most so many bits.
    """
    at = rows * SKETCH_BITS + (hashes & np.uint64(SKETCH_BITS - 1)).astype(np.int64)
    odd = (np.bincount(at, minlength=count * SKETCH_BITS) & 1).astype(np.uint8)
    packed: npt.NDArray[np.uint8] = np.packbits(odd)
    return packed.view(np.uint64).reshape(count, SKETCH_WORDS)


def code_points(texts: Sequence[str]) -> tuple[Words, Ints]:
    """Code points of some texts in one row, and where each begins (and the last ends)."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint64)
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=starts[1:])
    return codes, starts


def spread(firsts: AnyInts, counts: AnyInts) -> tuple[Ints, Ints]:
    """Positions of ranges: for each its number and the positions firsts, firsts + 1, …"""
    numbers = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return numbers, np.arange(len(numbers)) + np.repeat(firsts - before, counts)


def join(parts: Sequence[Signatures]) -> Signatures:
    """Put signatures together."""
    if len(parts) == 1:
        return parts[0]
    return Signatures(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.hashes for part in parts]),
    )
