"""The unique records that a near duplicate may be one of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.changes import BYTES_PER_RECORD, NearRecords
from operators.columns.arrays import Floats, Hashes, Ints
from operators.similarity.buckets import Bucket, Columns, chunks, read
from operators.similarity.search import Search
from operators.similarity.signatures import Measure, Reading, Signatures, join

# Counts of texts by signature; what shares a count is taken for less rare than it is.
_COUNTS = 1 << 20
_HALVE_AFTER = 1 << 22
_NO_BOUND = 1 << 62


class NearIndex:
    """Unique records of the last while, by buckets of event time that are dropped whole.

    Promises: `Search.find` names the most similar unique record of the same shard at
    most `seconds` away, and of several the one decided first, if its similarity is
    at least the threshold.  None is missed, save where a record has more candidates
    than `MOST_CANDIDATES`, `MOST_EFFORT` or `LONGEST_TEXT` allow: `Search.capped`
    counts those.
    """

    def __init__(self, measure: Measure, seconds: float, most: int = _NO_BOUND) -> None:
        """measure: of similarity.  seconds: how far away in event time, ≥ 0.

        most: past so many records the oldest bucket is evicted.
        """
        self.measure = measure
        self.seconds = seconds
        self.capped = 0
        self.evicted = 0
        self._most = most
        self._buckets: dict[float, Bucket] = {}
        self._counts = np.zeros(_COUNTS, np.uint32)
        self._counted = 0
        self._next = 0
        self._records = 0

    def __len__(self) -> int:
        """Return the number of records held."""
        return self._records

    def size_bytes(self) -> int:
        """Return about how much memory the records take."""
        return sum(bucket.size_bytes() for bucket in self._buckets.values())

    def packed_bytes(self) -> int:
        """Return how much the records take in a snapshot."""
        characters = sum(bucket.characters for bucket in self._buckets.values())
        return characters + len(self) * BYTES_PER_RECORD

    def search(self, texts: list[str], times: Floats, shards: Hashes, references: Ints) -> Search:
        """Look up some records, at least one, at most what `chunks` puts together."""
        return Search(self, texts, times, shards, references)

    def add(self, search: Search) -> NearRecords:
        """Add the records that a search has kept; return them."""
        self.capped += search.capped
        columns, rows = search.columns, np.array(search.kept, np.int64)
        rows = rows[columns.sizes[rows] >= 0]
        self._put(columns, rows, search.offered)
        return NearRecords(
            columns.times[rows],
            columns.references[rows],
            columns.shards[rows],
            [columns.texts[row] for row in rows.tolist()],
        )

    def _put(self, columns: Columns, rows: Ints, offered: Signatures) -> None:
        """Add rows, with the signatures that they are found by."""
        if not len(rows):
            return
        columns.orders[rows] = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        self._records += len(rows)
        with np.errstate(over="ignore"):
            numbers = np.floor(columns.times[rows] / (self.seconds or 1.0))
        for number in np.unique(numbers).tolist():
            mine = rows[numbers == number]
            wanted = np.zeros(len(columns), np.bool_)
            wanted[mine] = True
            theirs = wanted[offered.rows]
            bucket = self._buckets.setdefault(number, Bucket())
            bucket.add(columns, mine, Signatures(offered.rows[theirs], offered.hashes[theirs]))
        while self._records > self._most:
            oldest = min(self._buckets, key=lambda number: self._buckets[number].newest)
            self.evicted += self._drop(oldest)

    def _drop(self, number: float) -> int:
        count = len(self._buckets.pop(number))
        self._records -= count
        return count

    def choose(self, reading: Reading) -> Signatures:
        """Choose for each text as many signatures as it needs: those that fewest had so far."""
        ways = [self._rarest(offered, reading.needed) for offered in reading.offered]
        if len(ways) == 1:
            return ways[0][0]
        best = np.argmin([cost for _, cost in ways], axis=0)
        of_best = [best[chosen.rows] == way for way, (chosen, _) in enumerate(ways)]
        return join(
            [
                Signatures(chosen.rows[mine], chosen.hashes[mine])
                for (chosen, _), mine in zip(ways, of_best, strict=True)
            ]
        )

    def _rarest(self, offered: Signatures, needed: Ints) -> tuple[Signatures, Floats]:
        """The signatures that fewest texts had so far, and how many had them; count them all."""
        at = (offered.hashes & np.uint64(_COUNTS - 1)).astype(np.intp)
        counts = self._counts[at]
        order = np.lexsort((counts, offered.rows))
        np.add.at(self._counts, at, np.uint32(1))
        self._counted += len(at)
        if self._counted > _HALVE_AFTER:
            self._counts >>= 1
            self._counted //= 2
        rows = offered.rows[order]
        place = np.arange(len(rows)) - rows.searchsorted(rows)
        chosen = order[place < needed[rows]]
        rows = offered.rows[chosen]
        cost = np.bincount(rows, counts[chosen], len(needed)).astype(np.float64)
        return Signatures(rows, offered.hashes[chosen]), cost

    def near(self, times: Floats) -> Iterator[Bucket]:
        """Buckets that may have a record near one of some times, in event time."""
        first, last = float(times.min()), float(times.max())
        # Differences of times are rounded.
        slack = (max(abs(first), abs(last)) + self.seconds) * 1e-12
        first, last = first - self.seconds - slack, last + self.seconds + slack
        for bucket in self._buckets.values():
            if bucket.newest >= first and bucket.oldest <= last:
                yield bucket

    def expire(self, horizon: float) -> None:
        """Drop the buckets that no record with an event time ≥ horizon could match."""
        gone = [n for n, bucket in self._buckets.items() if self.is_expired(bucket.newest, horizon)]
        for number in gone:
            self._drop(number)

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether records up to `newest` are of no more use at a horizon."""
        # Rounding is monotonic: what is too far from the horizon is so from later times.
        return horizon - newest > self.seconds

    def records(self) -> NearRecords:
        """Everything held, in the order in which it was decided."""
        held = [bucket.columns for bucket in self._buckets.values()]
        if not held:
            return NearRecords.empty()
        order = np.argsort(np.concatenate([one.orders[: len(one)] for one in held]))
        texts = [text for one in held for text in one.texts]
        return NearRecords(
            np.concatenate([one.times[: len(one)] for one in held])[order],
            np.concatenate([one.references[: len(one)] for one in held])[order],
            np.concatenate([one.shards[: len(one)] for one in held])[order],
            [texts[row] for row in order.tolist()],
        )

    def apply(self, records: NearRecords) -> None:
        """Add records that an earlier run has decided, in that order."""
        for piece in chunks(records.texts):
            columns, reading = read(
                self.measure,
                records.texts[piece],
                records.times[piece],
                records.shards[piece],
                records.references[piece],
            )
            rows = np.arange(len(columns))
            self._put(columns, rows, self.choose(reading))
