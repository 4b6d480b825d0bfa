"""Postings: which records have a signature, in sorted columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Ints
from operators.similarity.hashing import Words
from operators.similarity.signatures import spread

# Bits of the filter for each signature, of which two are set: 1 in 60 of those that
# are not there passes.
_FILTER_BITS = 16
_SMALLEST_FILTER = 1 << 13
# A run is merged into the one before it unless that is so many times longer: few runs
# to look into, at the price of moving each signature a dozen times in its life.
_RATIO = 6
# A signature in the columns, if no other text has it: 8 of hash, 4 of start, 4 of row;
# and its bits of the filter.
BYTES_PER_SIGNATURE = 16 + 2 * _FILTER_BITS // 8

_OCTET, _IN_OCTET, _SECOND = np.uint64(3), np.uint64(7), np.uint64(32)

_Rows: TypeAlias = npt.NDArray[np.int32]


@dataclass(slots=True)
class Lists:
    """Lists of postings that were asked for: those of `rows[first : first + count]`.

    asked: position of the signature in what was asked.
    """

    rows: _Rows
    asked: Ints
    firsts: _Rows
    counts: _Rows


@dataclass(slots=True)
class _Run:
    """Signatures in order, each once; number n is that of rows[starts[n] : starts[n + 1]]."""

    signatures: Words
    starts: _Rows
    rows: _Rows

    def __len__(self) -> int:
        return len(self.rows)


class Postings:
    """A multimap from 64-bit signatures to rows.

    Sorted runs, merged as they grow (a log-structured merge: each signature is
    moved a few times), behind a filter of bits, since most of what is
    asked for is not there.  4 bytes for each row of a signature and 12 for the
    signature, and 2 to 4 of filter.
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
        run = _run(signatures[order], np.ones(len(order), np.int64), rows[order].astype(np.int32))
        self._count += len(signatures)
        runs = self._runs
        while runs and len(runs[-1]) < _RATIO * len(run):
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
        for run in self._runs:
            self._mark(run.signatures)

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
        for run in self._runs:
            at = run.signatures.searchsorted(signatures)
            at[at == len(run.signatures)] = 0
            asked = np.flatnonzero(run.signatures[at] == signatures)
            if len(asked):
                at = at[asked]
                firsts = run.starts[at]
                yield Lists(run.rows, asked, firsts, run.starts[at + 1] - firsts)


def _run(signatures: Words, counts: Ints, rows: _Rows) -> _Run:
    """Make a run of signatures in order, which may be there more than once."""
    new = np.ones(len(signatures), np.bool_)
    new[1:] = signatures[1:] != signatures[:-1]
    ends = np.cumsum(counts)
    first = np.flatnonzero(new)
    starts = np.append((ends - counts)[first], len(rows))
    return _Run(signatures[first], starts.astype(np.int32), rows)


def _merge(one: _Run, other: _Run) -> _Run:
    signatures = np.concatenate((one.signatures, other.signatures))
    # Two sorted runs: the stable sort finds them and merges.
    order = np.argsort(signatures, kind="stable")
    counts = np.concatenate((np.diff(one.starts), np.diff(other.starts)))[order]
    firsts = np.concatenate((one.starts[:-1], other.starts[:-1] + len(one)))[order]
    _, at = spread(firsts, counts)
    return _run(signatures[order], counts, np.concatenate((one.rows, other.rows))[at])
