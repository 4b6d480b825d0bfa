"""Postings: the records that have a signature, in sorted columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Bools, Ints
from operators.similarity.hashing import Words
from operators.similarity.signatures import expand_ranges

# Filter bits for each signature.  A signature sets two of them, so 1 in 60 of the absent
# signatures passes.
_FILTER_BITS = 16
_MIN_FILTER_BITS = 1 << 13
# A run is merged into the one before it unless that is 6 times longer.  So there are few
# runs to search, and each signature is moved about a dozen times in its life.
_RATIO = 6
# A signature that one text has: 8 bytes of hash, 4 of start, 4 of row, and its filter bits.
BYTES_PER_SIGNATURE = 16 + 2 * _FILTER_BITS // 8

_OCTET, _IN_OCTET, _SECOND = np.uint64(3), np.uint64(7), np.uint64(32)

_Rows: TypeAlias = npt.NDArray[np.int32]


@dataclass(slots=True)
class PostingLists:
    """Postings of the probes that were found: `rows[first : first + count]` for each.

    probes: position of each list's signature among the probes.
    """

    rows: _Rows
    probes: Ints
    firsts: _Rows
    counts: _Rows


@dataclass(slots=True)
class _Run:
    """Sorted signatures, each once; rows[starts[n] : starts[n + 1]] have signature n."""

    signatures: Words
    starts: _Rows
    rows: _Rows

    def __len__(self) -> int:
        return len(self.rows)


class Postings:
    """A multimap from 64-bit signatures to rows.

    It holds sorted runs, which are merged as they grow (a log-structured merge).  A bit
    filter comes first, since most probes are absent.  A signature takes 12 bytes, 4 more
    for each row that has it, and 2 to 4 of filter.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._count = 0
        self._filter = np.zeros(_MIN_FILTER_BITS // 8, np.uint8)
        self._mask = np.uint64(_MIN_FILTER_BITS - 1)

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
        """Return the positions of the signatures that are held, and of a few that are not."""
        passed = np.flatnonzero(self._marked(signatures & self._mask))
        return passed[self._marked(signatures[passed] >> _SECOND & self._mask)]

    def _marked(self, bits: Words) -> Bools:
        octets = self._filter[(bits >> _OCTET).astype(np.intp)]
        octets >>= (bits & _IN_OCTET).astype(np.uint8)
        return (octets & np.uint8(1)).astype(np.bool_)

    def find(self, signatures: Words) -> Iterator[PostingLists]:
        """Yield the rows that have each of the signatures, run by run."""
        for run in self._runs:
            at = run.signatures.searchsorted(signatures)
            at[at == len(run.signatures)] = 0
            probes = np.flatnonzero(run.signatures[at] == signatures)
            if len(probes):
                at = at[probes]
                firsts = run.starts[at]
                yield PostingLists(run.rows, probes, firsts, run.starts[at + 1] - firsts)


def _run(signatures: Words, counts: Ints, rows: _Rows) -> _Run:
    """Make a run of sorted signatures, which may repeat."""
    new = np.ones(len(signatures), np.bool_)
    new[1:] = signatures[1:] != signatures[:-1]
    ends = np.cumsum(counts)
    first = np.flatnonzero(new)
    starts = np.append((ends - counts)[first], len(rows))
    return _Run(signatures[first], starts.astype(np.int32), rows)


def _merge(left: _Run, right: _Run) -> _Run:
    signatures = np.concatenate((left.signatures, right.signatures))
    # The stable sort finds the two sorted runs and merges them.
    order = np.argsort(signatures, kind="stable")
    counts = np.concatenate((np.diff(left.starts), np.diff(right.starts)))[order]
    firsts = np.concatenate((left.starts[:-1], right.starts[:-1] + len(left)))[order]
    _, at = expand_ranges(firsts, counts)
    return _run(signatures[order], counts, np.concatenate((left.rows, right.rows))[at])
