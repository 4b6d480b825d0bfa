"""Postings: which records have a signature, in sorted columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from operators.batches import Bools, Ints
from operators.similarity.hashing import Words

# Bits of the filter for each signature, of which two are set: 1 in 60 of those that
# are not there passes.
_FILTER_BITS = 16
_SMALLEST_FILTER = 1 << 13
# A run is merged into the one before it unless that is so many times longer: few runs
# to look into, at the price of moving each signature a dozen times in its life.
_RATIO = 6
# A signature in the columns: 8 of hash, 4 of row; and its bits of the filter.
BYTES_A_SIGNATURE = 12 + 2 * _FILTER_BITS // 8

_OCTET, _IN_OCTET, _SECOND = np.uint64(3), np.uint64(7), np.uint64(32)

_Rows: TypeAlias = npt.NDArray[np.int32]
_Run: TypeAlias = tuple[Words, _Rows]


@dataclass(slots=True)
class Lists:
    """Lists of postings that were asked for: those of `rows[first : first + count]`.

    asked: position of the signature in what was asked.
    """

    rows: _Rows
    asked: Ints
    firsts: Ints
    counts: Ints


class Postings:
    """A multimap from 64-bit signatures to rows.

    Sorted runs, merged as they grow (a log-structured merge: each signature is
    moved a few times), behind a filter of bits, since most of what is
    asked for is not there.  12 bytes a signature, and 2 to 4 of filter.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._count = 0
        self._filter = np.zeros(_SMALLEST_FILTER // 8, np.uint8)
        self._mask = np.uint64(_SMALLEST_FILTER - 1)

    def __len__(self) -> int:
        """Return the number of signatures."""
        return self._count

    def add(self, signatures: Words, rows: Ints) -> None:
        """Add signatures with the row that each belongs to; rows are int32."""
        order = np.argsort(signatures, kind="stable")
        run = (signatures[order], rows[order].astype(np.int32))
        self._count += len(signatures)
        runs = self._runs
        while runs and len(runs[-1][0]) < _RATIO * len(run[0]):
            run = _merge(runs.pop(), run)
        runs.append(run)
        if self._count * _FILTER_BITS > len(self._filter) * 8:
            self._grow()
        else:
            self._mark(signatures)

    def _grow(self) -> None:
        size = 1 << (self._count * _FILTER_BITS).bit_length()
        self._filter = np.zeros(size // 8, np.uint8)
        self._mask = np.uint64(size - 1)
        for signatures, _ in self._runs:
            self._mark(signatures)

    def _mark(self, signatures: Words) -> None:
        for bits in (signatures & self._mask, signatures >> _SECOND & self._mask):
            masks = np.left_shift(1, (bits & _IN_OCTET).astype(np.uint8), dtype=np.uint8)
            np.bitwise_or.at(self._filter, (bits >> _OCTET).astype(np.intp), masks)

    def maybe(self, signatures: Words) -> Ints:
        """Positions of the signatures that are there, and of a few that are not."""
        found = np.flatnonzero(self._marked(signatures & self._mask))
        return found[self._marked(signatures[found] >> _SECOND & self._mask)]

    def _marked(self, bits: Words) -> Bools:
        octets = self._filter[(bits >> _OCTET).astype(np.intp)]
        octets >>= (bits & _IN_OCTET).astype(np.uint8)
        return (octets & np.uint8(1)).astype(np.bool_)

    def find(self, signatures: Words) -> Iterator[Lists]:
        """Lists of the rows that have each of the signatures, one run after another."""
        for sorted_, rows in self._runs:
            firsts = sorted_.searchsorted(signatures)
            firsts[firsts == len(sorted_)] = 0
            asked = np.flatnonzero(sorted_[firsts] == signatures)
            if len(asked):
                firsts = firsts[asked]
                ends = sorted_.searchsorted(signatures[asked], "right")
                yield Lists(rows, asked, firsts, ends - firsts)


def _merge(one: _Run, other: _Run) -> _Run:
    signatures = np.concatenate((one[0], other[0]))
    # Two sorted runs: the stable sort finds them and merges.
    order = np.argsort(signatures, kind="stable")
    return signatures[order], np.concatenate((one[1], other[1]))[order]
