"""Looks for the originals of some records, which are decided one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.similarity.buckets import Bucket, Columns, read
from operators.similarity.hashing import Words, bits_set
from operators.similarity.postings import Lists, Postings
from operators.similarity.signatures import (
    SKETCH_BITS,
    Measure,
    Reading,
    Signatures,
    floor_of,
    lowered,
    spread,
)

# Found by their signatures, for one record: to look at so many takes milliseconds.
MOST_CANDIDATES = 100_000
# Steps of comparing, for one record: about two seconds.
MOST_EFFORT = 1 << 28
# Candidates that are looked at in one go, which bounds the memory for it.
_BLOCK = 1 << 20
_ROW_BITS = 32
_ID = (1 << _ROW_BITS) - 1


@dataclass(frozen=True, slots=True)
class Near:
    """The original of a near duplicate."""

    similarity: float
    reference: int


class Searched(Protocol):
    """What is searched: unique records by event time."""

    measure: Measure
    seconds: float

    def near(self, times: Floats) -> Iterator[Bucket]:
        """Buckets that may have a record near one of some times, in event time."""
        ...

    def choose(self, reading: Reading) -> Signatures:
        """Choose for each text as many signatures as it needs to be found by."""
        ...


class _Found:
    """Candidates of all records in some columns."""

    def __init__(self, columns: Columns, pairs: Ints, count: int) -> None:
        """pairs: numbers row << 32 | id, sorted.  count: of the records that look."""
        self.columns = columns
        self._ids = pairs & _ID
        self._starts = pairs.searchsorted(np.arange(count + 1) << _ROW_BITS).tolist()

    def of(self, row: int) -> list[int]:
        """Ids of the candidates of a record."""
        ids: list[int] = self._ids[self._starts[row] : self._starts[row + 1]].tolist()
        return ids


class Search:
    """Some records beside an index, and beside those of them that are unique.

    The caller goes through the records in the order in which they are decided; it
    asks `find` of those whose keys are new, and tells `keep` which are unique.
    """

    def __init__(
        self, index: Searched, texts: list[str], times: Floats, shards: Hashes, references: Ints
    ) -> None:
        """texts: at least one, and few: they are looked up together."""
        self._measure = index.measure
        self._seconds = index.seconds
        self.columns, reading = read(index.measure, texts, times, shards, references)
        self.offered = index.choose(reading)
        self.kept: list[int] = []
        self.compared = 0
        self._capped = self.columns.sizes < 0
        self._sharded = bool(shards.any())
        sizes = np.maximum(self.columns.sizes, 0)
        largest = floor_of(sizes / lowered(index.measure.threshold))
        most_bits = np.minimum(index.measure.most_bits(sizes, largest), SKETCH_BITS)
        # Of the sketches of two texts, whichever the other one is.
        self._most_bits = most_bits.astype(np.uint32)
        self._found = [
            self._in(bucket.columns, bucket.postings, reading.asked) for bucket in index.near(times)
        ]
        # Of the records that are looked up together, earlier ones may be originals too.
        among = Postings()
        among.add(self.offered.hashes, self.offered.rows)
        self._among = self._in(self.columns, among, reading.asked)

    @property
    def capped(self) -> int:
        """Records that had more candidates than are looked at."""
        return int(self._capped.sum())

    def _in(self, columns: Columns, postings: Postings, asked: Signatures) -> _Found:
        return _Found(columns, self._pairs(columns, postings, asked), len(self.columns))

    def _pairs(self, columns: Columns, postings: Postings, asked: Signatures) -> Ints:
        """Candidates in some columns, by their signatures and what else is cheap to know."""
        maybe = postings.maybe(asked.hashes)
        rows, hashes = _distinct(asked.rows[maybe], asked.hashes[maybe])
        lists = list(postings.find(hashes))
        if not lists:
            return np.zeros(0, np.int64)
        self._limit(rows, lists)
        blocks = [self._fit(columns, *block) for block in _blocks(rows, lists, len(self.columns))]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.int64)

    def _limit(self, rows: Ints, lists: list[Lists]) -> None:
        """Leave out the longest lists of records that have too many candidates."""
        asking = np.concatenate([rows[one.asked] for one in lists])
        counts = np.concatenate([one.counts for one in lists])
        totals = np.bincount(asking, counts, len(self.columns))
        if totals.max() <= MOST_CANDIDATES:
            return
        self._capped |= totals > MOST_CANDIDATES
        order = np.lexsort((counts, asking))
        running = np.cumsum(counts[order])
        before = np.cumsum(totals) - totals
        kept = np.zeros(len(counts), np.bool_)
        kept[order] = running - before[asking[order]] <= MOST_CANDIDATES
        at = 0
        for one in lists:
            mine = kept[at : at + len(one.counts)]
            at += len(one.counts)
            one.asked, one.firsts, one.counts = one.asked[mine], one.firsts[mine], one.counts[mine]

    def _fit(self, columns: Columns, rows: Ints, ids: Ints) -> Ints:
        """Leave the pairs that can be similar, of one shard and near each other in time."""
        own, measure = self.columns, self._measure
        # `take` is several times faster than an index.
        different = own.bit_sketches.take(rows, axis=0) ^ columns.bit_sketches.take(ids, axis=0)
        bits = bits_set(different)
        # Leaves few of them, and what is asked of those costs next to nothing.
        few = np.flatnonzero(bits <= self._most_bits.take(rows))
        rows, ids, bits = rows[few], ids[few], bits[few]
        sizes, others = own.sizes.take(rows), columns.sizes.take(ids)
        fits: Bools = measure.possible(sizes, others) & (bits <= measure.most_bits(sizes, others))
        if columns is own:
            fits &= ids < rows
        with np.errstate(over="ignore"):
            fits &= np.abs(own.times.take(rows) - columns.times.take(ids)) <= self._seconds
        if self._sharded:
            same = own.shards.take(rows, axis=0) == columns.shards.take(ids, axis=0)
            fits &= same.all(axis=1)
        pairs, times = _counted((rows << _ROW_BITS | ids)[fits])
        return pairs[times >= measure.shared(columns.sizes.take(pairs & _ID))]

    def find(self, row: int) -> Near | None:
        """Original of a record: the most similar one, then the one decided first."""
        candidates = [
            (int(found.columns.orders[id_]), found.columns, id_)
            for found in self._found
            for id_ in found.of(row)
        ]
        candidates.sort(key=itemgetter(0))
        if self.kept:
            unique = set(self.kept)
            ids = self._among.of(row)
            candidates += [(0, self.columns, id_) for id_ in ids if id_ in unique]
        return self._best(row, candidates) if candidates else None

    def _best(self, row: int, candidates: list[tuple[int, Columns, int]]) -> Near | None:
        text, measure = self.columns.texts[row], self._measure
        others = [columns.texts[id_] for _, columns, id_ in candidates]
        effort = np.cumsum(measure.effort(len(text), np.array([len(other) for other in others])))
        if effort[-1] > MOST_EFFORT and len(others) > 1:
            self._capped[row] = True
            others = others[: max(int(effort.searchsorted(MOST_EFFORT)), 1)]
        self.compared += len(others)
        similarities = measure.similarities(text, others)
        best = max(similarities)
        if best < measure.threshold:
            return None
        _, columns, id_ = candidates[similarities.index(best)]
        return Near(best, int(columns.references[id_]))

    def keep(self, row: int) -> None:
        """Note that a record is unique: later ones of this search may repeat it."""
        self.kept.append(row)


def _counted(pairs: Ints) -> tuple[Ints, Ints]:
    """Sort; each pair once, and how often it was there.  np.unique takes four times as long."""
    pairs.sort()
    new = np.ones(len(pairs), np.bool_)
    new[1:] = pairs[1:] != pairs[:-1]
    starts = np.flatnonzero(new)
    return pairs[starts], np.diff(starts, append=len(pairs))


def _distinct(rows: Ints, hashes: Words) -> tuple[Ints, Words]:
    """Each signature of a text once, in order: near ones are near in the postings."""
    order = np.lexsort((rows, hashes))
    rows, hashes = rows[order], hashes[order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return rows[new], hashes[new]


def _blocks(rows: Ints, lists: Sequence[Lists], count: int) -> Iterator[tuple[Ints, Ints]]:
    """Rows that ask, and ids that they are given: all of a row together, some rows at a time."""
    asking = [rows[one.asked] for one in lists]
    totals = np.zeros(count, np.int64)
    for mine, one in zip(asking, lists, strict=True):
        totals += np.bincount(mine, one.counts, count).astype(np.int64)
    block_of = np.cumsum(totals) // _BLOCK
    for block in np.unique(block_of[totals > 0]).tolist():
        parts = []
        for mine, one in zip(asking, lists, strict=True):
            here = slice(None) if block_of[-1] == 0 else block_of[mine] == block
            number, at = spread(one.firsts[here], one.counts[here])
            parts.append((mine[here][number], one.rows[at].astype(np.int64)))
        asked, ids = zip(*parts, strict=True)
        yield np.concatenate(asked), np.concatenate(ids)
