"""The index of near duplicates: the unique records that a record may repeat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.changes import BYTES_PER_RECORD, NearRecords
from operators.columns.arrays import Floats, Hashes, Ints
from operators.similarity.buckets import Bucket, TextColumns, chunks, read_columns
from operators.similarity.search import Search
from operators.similarity.signatures import Features, Measure, Signatures, concat

# Texts per signature, counted in a hash table without collision handling: colliding
# signatures look more common than they are.
_COUNTS = 1 << 20
_HALVE_AFTER = 1 << 22
_NO_BOUND = 1 << 62


class NearIndex:
    """Recent unique records, in buckets of event time that are dropped as a whole.

    Promises: `Search.find` returns the most similar unique record of the same shard at
    most `seconds` away, if its similarity reaches the threshold; of equals the one decided
    first.  It misses none, unless a record exceeds `MAX_CANDIDATES`, `MAX_EFFORT` or
    `MAX_TEXT_LENGTH`: `Search.capped` counts those records.
    """

    def __init__(self, measure: Measure, seconds: float, max_records: int = _NO_BOUND) -> None:
        """measure: of similarity.  seconds: largest distance in event time, ≥ 0.

        max_records: the oldest bucket is evicted when more are held.
        """
        self.measure = measure
        self.seconds = seconds
        self.capped = 0
        self.evicted = 0
        self._max_records = max_records
        self._buckets: dict[float, Bucket] = {}
        self._counts = np.zeros(_COUNTS, np.uint32)
        self._counted = 0
        self._next = 0
        self._records = 0

    def __len__(self) -> int:
        """Return the number of records held."""
        return self._records

    def size_bytes(self) -> int:
        """Estimate the memory that the records take."""
        return sum(bucket.size_bytes() for bucket in self._buckets.values())

    def packed_bytes(self) -> int:
        """Return how many bytes the records take in a snapshot."""
        characters = sum(bucket.characters for bucket in self._buckets.values())
        return characters + len(self) * BYTES_PER_RECORD

    def search(self, texts: list[str], times: Floats, shards: Hashes, references: Ints) -> Search:
        """Look up the records of a chunk (`chunks`)."""
        return Search(self, texts, times, shards, references)

    def add(self, search: Search) -> NearRecords:
        """Add the records that a search kept; return them."""
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

    def _put(self, columns: TextColumns, rows: Ints, offered: Signatures) -> None:
        """Add rows, with the signatures that find them."""
        if not len(rows):
            return
        columns.orders[rows] = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        self._records += len(rows)
        with np.errstate(over="ignore"):
            buckets = np.floor(columns.times[rows] / (self.seconds or 1.0))
        for number in np.unique(buckets).tolist():
            bucket_rows = rows[buckets == number]
            in_bucket = np.zeros(len(columns), np.bool_)
            in_bucket[bucket_rows] = True
            chosen = in_bucket[offered.rows]
            bucket = self._buckets.setdefault(number, Bucket())
            signatures = Signatures(offered.rows[chosen], offered.hashes[chosen])
            bucket.add(columns, bucket_rows, signatures)
        while self._records > self._max_records:
            oldest = min(self._buckets, key=lambda number: self._buckets[number].newest)
            self.evicted += self._drop(oldest)

    def _drop(self, bucket: float) -> int:
        count = len(self._buckets.pop(bucket))
        self._records -= count
        return count

    def choose(self, features: Features) -> Signatures:
        """Choose the rarest signatures for each text, as many as it needs."""
        ways = [self._rarest(offered, features.needed) for offered in features.offered]
        if len(ways) == 1:
            return ways[0][0]
        best = np.argmin([cost for _, cost in ways], axis=0)
        of_best = [best[chosen.rows] == way for way, (chosen, _) in enumerate(ways)]
        return concat(
            [
                Signatures(chosen.rows[is_best], chosen.hashes[is_best])
                for (chosen, _), is_best in zip(ways, of_best, strict=True)
            ]
        )

    def _rarest(self, offered: Signatures, needed: Ints) -> tuple[Signatures, Floats]:
        """Return each text's rarest signatures, and how many texts had them; count all."""
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
        """Yield the buckets that may have a record near one of some event times."""
        first, last = float(times.min()), float(times.max())
        # Differences of event times are rounded.
        slack = (max(abs(first), abs(last)) + self.seconds) * 1e-12
        first, last = first - self.seconds - slack, last + self.seconds + slack
        for bucket in self._buckets.values():
            if bucket.newest >= first and bucket.oldest <= last:
                yield bucket

    def expire(self, horizon: float) -> None:
        """Drop the buckets that no record with an event time ≥ horizon can match."""
        expired = [
            number
            for number, bucket in self._buckets.items()
            if self.is_expired(bucket.newest, horizon)
        ]
        for number in expired:
            self._drop(number)

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether no later record can match records up to `newest`."""
        # Rounding is monotonic: what is too far from the horizon is too far from later times.
        return horizon - newest > self.seconds

    def records(self) -> NearRecords:
        """Return all records held, in the order of decision."""
        held = [bucket.columns for bucket in self._buckets.values()]
        if not held:
            return NearRecords.empty()
        order = np.argsort(np.concatenate([columns.orders[: len(columns)] for columns in held]))
        texts = [text for columns in held for text in columns.texts]
        return NearRecords(
            np.concatenate([columns.times[: len(columns)] for columns in held])[order],
            np.concatenate([columns.references[: len(columns)] for columns in held])[order],
            np.concatenate([columns.shards[: len(columns)] for columns in held])[order],
            [texts[row] for row in order.tolist()],
        )

    def apply(self, records: NearRecords) -> None:
        """Add unique records of an earlier run, in the order of decision."""
        for chunk in chunks(records.texts):
            columns, features = read_columns(
                self.measure,
                records.texts[chunk],
                records.times[chunk],
                records.shards[chunk],
                records.references[chunk],
            )
            rows = np.arange(len(columns))
            self._put(columns, rows, self.choose(features))
