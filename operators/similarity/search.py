"""Searches for the originals of some records, which are decided one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.similarity.buckets import Bucket, TextColumns, read_columns
from operators.similarity.hashing import Words, bits_set
from operators.similarity.postings import PostingLists, Postings
from operators.similarity.signatures import (
    SKETCH_BITS,
    Features,
    Measure,
    Signatures,
    expand_ranges,
    floor_of,
    lowered,
)

# Candidates that the signatures of one record may find: checking them takes milliseconds.
MAX_CANDIDATES = 100_000
# Steps that comparing one record may take: about two seconds.
MAX_EFFORT = 1 << 28
# Candidates that are checked together, which bounds the memory.
_BLOCK = 1 << 20
_ROW_BITS = 32
_ID = (1 << _ROW_BITS) - 1


@dataclass(frozen=True, slots=True)
class NearMatch:
    """The original of a near duplicate."""

    similarity: float
    reference: int


class SearchableIndex(Protocol):
    """What a search needs of an index."""

    measure: Measure
    seconds: float

    def near(self, times: Floats) -> Iterator[Bucket]:
        """Yield the buckets that may have a record near one of some event times."""
        ...

    def choose(self, features: Features) -> Signatures:
        """Choose the signatures to store each text by, as many as it needs."""
        ...


class _Candidates:
    """The candidates, in some columns, of all records that search."""

    def __init__(self, columns: TextColumns, pairs: Ints, count: int) -> None:
        """pairs: sorted values of row << 32 | id.  count: how many records search."""
        self.columns = columns
        self._ids = pairs & _ID
        self._starts = pairs.searchsorted(np.arange(count + 1) << _ROW_BITS).tolist()

    def of(self, row: int) -> list[int]:
        """Return the ids of a record's candidates."""
        ids: list[int] = self._ids[self._starts[row] : self._starts[row + 1]].tolist()
        return ids


class Search:
    """Compares some records with an index, and with the unique ones among themselves.

    The caller goes through the records in the order of decision.  It calls `find` for
    each record whose keys are new, and `keep` for each that is unique.
    """

    def __init__(
        self,
        index: SearchableIndex,
        texts: list[str],
        times: Floats,
        shards: Hashes,
        references: Ints,
    ) -> None:
        """texts: a chunk, at least one; they are looked up together."""
        self._measure = index.measure
        self._seconds = index.seconds
        self.columns, features = read_columns(index.measure, texts, times, shards, references)
        self.offered = index.choose(features)
        self.kept: list[int] = []
        self.compared = 0
        self._capped = self.columns.sizes < 0
        self._sharded = bool(shards.any())
        sizes = np.maximum(self.columns.sizes, 0)
        largest = floor_of(sizes / lowered(index.measure.threshold))
        # A bound for any text that can be similar.
        max_bits = np.minimum(index.measure.max_different_bits(sizes, largest), SKETCH_BITS)
        self._max_different_bits = max_bits.astype(np.uint32)
        self._in_buckets = [
            self._candidates_in(bucket.columns, bucket.postings, features.probes)
            for bucket in index.near(times)
        ]
        # An earlier record of the same chunk may be the original too.
        chunk = Postings()
        chunk.add(self.offered.hashes, self.offered.rows)
        self._in_chunk = self._candidates_in(self.columns, chunk, features.probes)

    @property
    def capped(self) -> int:
        """Number of records that had more candidates than a search checks."""
        return int(self._capped.sum())

    def _candidates_in(
        self, columns: TextColumns, postings: Postings, probes: Signatures
    ) -> _Candidates:
        return _Candidates(columns, self._pairs(columns, postings, probes), len(self.columns))

    def _pairs(self, columns: TextColumns, postings: Postings, probes: Signatures) -> Ints:
        """Find candidates by signatures, and drop those that cheap checks rule out."""
        maybe = postings.maybe(probes.hashes)
        rows, hashes = _distinct(probes.rows[maybe], probes.hashes[maybe])
        lists = list(postings.find(hashes))
        if not lists:
            return np.zeros(0, np.int64)
        self._limit(rows, lists)
        blocks = [self._fit(columns, *block) for block in _blocks(rows, lists, len(self.columns))]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.int64)

    def _limit(self, rows: Ints, lists: list[PostingLists]) -> None:
        """Drop the longest lists of each record that has too many candidates."""
        searching = np.concatenate([rows[found.probes] for found in lists])
        counts = np.concatenate([found.counts for found in lists])
        totals = np.bincount(searching, counts, len(self.columns))
        if totals.max() <= MAX_CANDIDATES:
            return
        self._capped |= totals > MAX_CANDIDATES
        order = np.lexsort((counts, searching))
        running = np.cumsum(counts[order])
        before = np.cumsum(totals) - totals
        kept = np.zeros(len(counts), np.bool_)
        kept[order] = running - before[searching[order]] <= MAX_CANDIDATES
        at = 0
        for found in lists:
            keep = kept[at : at + len(found.counts)]
            at += len(found.counts)
            found.probes, found.firsts = found.probes[keep], found.firsts[keep]
            found.counts = found.counts[keep]

    def _fit(self, columns: TextColumns, rows: Ints, ids: Ints) -> Ints:
        """Keep the pairs that can be similar, have one shard and are near in event time."""
        own, measure = self.columns, self._measure
        # `take` is several times faster than indexing.
        different = own.bit_sketches.take(rows, axis=0) ^ columns.bit_sketches.take(ids, axis=0)
        bits = bits_set(different)
        # Few pairs are left, so the checks below cost next to nothing.
        few = np.flatnonzero(bits <= self._max_different_bits.take(rows))
        rows, ids, bits = rows[few], ids[few], bits[few]
        sizes, others = own.sizes.take(rows), columns.sizes.take(ids)
        fits: Bools = measure.possible(sizes, others)
        fits &= bits <= measure.max_different_bits(sizes, others)
        if columns is own:
            fits &= ids < rows
        with np.errstate(over="ignore"):
            fits &= np.abs(own.times.take(rows) - columns.times.take(ids)) <= self._seconds
        if self._sharded:
            same = own.shards.take(rows, axis=0) == columns.shards.take(ids, axis=0)
            fits &= same.all(axis=1)
        pairs, times = _counted((rows << _ROW_BITS | ids)[fits])
        return pairs[times >= measure.shared(columns.sizes.take(pairs & _ID))]

    def find(self, row: int) -> NearMatch | None:
        """Find a record's original: the most similar one, then the one decided first."""
        candidates = [
            (int(bucket.columns.orders[id_]), bucket.columns, id_)
            for bucket in self._in_buckets
            for id_ in bucket.of(row)
        ]
        candidates.sort(key=itemgetter(0))
        if self.kept:
            unique = set(self.kept)
            ids = self._in_chunk.of(row)
            candidates += [(0, self.columns, id_) for id_ in ids if id_ in unique]
        return self._best(row, candidates) if candidates else None

    def _best(self, row: int, candidates: list[tuple[int, TextColumns, int]]) -> NearMatch | None:
        text, measure = self.columns.texts[row], self._measure
        others = [columns.texts[id_] for _, columns, id_ in candidates]
        effort = np.cumsum(measure.effort(len(text), np.array([len(other) for other in others])))
        if effort[-1] > MAX_EFFORT and len(others) > 1:
            self._capped[row] = True
            others = others[: max(int(effort.searchsorted(MAX_EFFORT)), 1)]
        self.compared += len(others)
        similarities = measure.similarities(text, others)
        best = max(similarities)
        if best < measure.threshold:
            return None
        _, columns, id_ = candidates[similarities.index(best)]
        return NearMatch(best, int(columns.references[id_]))

    def keep(self, row: int) -> None:
        """Note that a record is unique: later records of this search may repeat it."""
        self.kept.append(row)


def _counted(pairs: Ints) -> tuple[Ints, Ints]:
    """Return each pair once, sorted, and its count.  np.unique takes four times as long."""
    pairs.sort()
    new = np.ones(len(pairs), np.bool_)
    new[1:] = pairs[1:] != pairs[:-1]
    starts = np.flatnonzero(new)
    return pairs[starts], np.diff(starts, append=len(pairs))


def _distinct(rows: Ints, hashes: Words) -> tuple[Ints, Words]:
    """Return each signature of a text once, sorted: close signatures are close in memory."""
    order = np.lexsort((rows, hashes))
    rows, hashes = rows[order], hashes[order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return rows[new], hashes[new]


def _blocks(rows: Ints, lists: Sequence[PostingLists], count: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield rows and the ids they found, some rows at a time; a row is never split."""
    searching = [rows[found.probes] for found in lists]
    totals = np.zeros(count, np.int64)
    for list_rows, found in zip(searching, lists, strict=True):
        totals += np.bincount(list_rows, found.counts, count).astype(np.int64)
    block_of = np.cumsum(totals) // _BLOCK
    for block in np.unique(block_of[totals > 0]).tolist():
        parts = []
        for list_rows, found in zip(searching, lists, strict=True):
            here = slice(None) if block_of[-1] == 0 else block_of[list_rows] == block
            list_of, at = expand_ranges(found.firsts[here], found.counts[here])
            parts.append((list_rows[here][list_of], found.rows[at].astype(np.int64)))
        block_rows, ids = zip(*parts, strict=True)
        yield np.concatenate(block_rows), np.concatenate(ids)
