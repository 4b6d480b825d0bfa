"""Sliding windows: unique if no unique record with the key is closer than W, before or after."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import NO_REFERENCE, Delta, Matches
from operators.windows.store import key_bytes, key_rows, stretches, unique_delta

_Entry = tuple[float, int]
# Measured with 100,000 to 340,000 keys: what Python's objects for one take.
_BYTES_A_KEY = 205


class _Bucket:
    """Keys whose event times lie in one stretch as long as the window.

    Two unique records with one key are at least W apart, so a bucket holds a key
    once.  Only rounding of `t / W` can put two into one bucket; the second then
    goes to `more`.
    """

    __slots__ = ("more", "newest", "table")

    def __init__(self) -> None:
        self.table: dict[bytes, _Entry] = {}
        self.more: dict[bytes, list[_Entry]] = {}
        self.newest = -math.inf

    def near(self, key: bytes, time: float, seconds: float) -> list[int]:
        """References of the unique records with the key less than `seconds` away."""
        entry = self.table.get(key)
        if entry is None:
            return []
        found = [entry[1]] if abs(time - entry[0]) < seconds else []
        if key in self.more:
            found += [ref for other, ref in self.more[key] if abs(time - other) < seconds]
        return found

    def add(self, key: bytes, time: float, reference: int) -> bool:
        """Add a key; False if the very same entry is there already."""
        self.newest = max(self.newest, time)
        entry = (time, reference)
        first = self.table.setdefault(key, entry)
        if first is entry:
            return True
        if first == entry or entry in self.more.get(key, ()):
            return False
        self.more.setdefault(key, []).append(entry)
        return True


class SlidingStore:
    """Buckets of event time as wide as the window; a record looks into three of them.

    Duplicates do not extend a window: only unique records are in the buckets.
    A record can match two, one on either side in time: its original is the one of
    the smaller partition and offset, in whatever order they came.
    A bucket is dropped when its newest key is W or more before the horizon.
    """

    def __init__(self, seconds: float) -> None:
        """seconds: length W of the window, > 0 and finite."""
        self._seconds = seconds
        self._buckets: dict[float, _Bucket] = {}
        self._order: list[float] = []
        self._keys = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self._keys

    def size_bytes(self) -> int:
        """Return about how much memory the keys take."""
        return len(self) * _BYTES_A_KEY

    def _bucket(self, number: float) -> _Bucket:
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket()
            heapq.heappush(self._order, number)
        return bucket

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Matches:
        """Match each record against earlier unique ones, and add those that are unique."""
        combination = np.full(len(times), -1, np.int8)
        originals = np.full(len(times), NO_REFERENCE, np.int64)
        seconds, buckets = self._seconds, self._buckets
        rows = zip(
            self._around(times), times.tolist(), key_rows(hashes), references.tolist(), strict=True
        )
        for row, (numbers, time, keys, reference) in enumerate(rows):
            around = [buckets[number] for number in numbers if number in buckets]
            for index, key in enumerate(keys):
                found = [ref for bucket in around for ref in bucket.near(key, time, seconds)]
                if found:
                    combination[row], originals[row] = index, min(found)
                    break
            else:
                home = self._bucket(numbers[0])
                for key in keys:
                    self._keys += home.add(key, time, reference)
        return Matches(combination, originals)

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        rows = zip(self._around(times), times.tolist(), key_rows(hashes), strict=True)
        found = (
            any(
                self._buckets[number].near(key, time, self._seconds)
                for number in numbers
                if number in self._buckets
                for key in keys
            )
            for numbers, time, keys in rows
        )
        return np.fromiter(found, np.bool_, len(times))

    def _around(self, times: Floats) -> Iterator[tuple[float, ...]]:
        """For each time, the number of its bucket and of those with times less than W away.

        These are its neighbours.  Rounding is monotonic, so the buckets of `t − W` and
        `t + W` bound those of all times between; it can put the two further apart
        by one, or all three into one.
        """
        with np.errstate(over="ignore"):
            before, after = times - self._seconds, times + self._seconds
        here = stretches(times, self._seconds)
        first, last = stretches(before, self._seconds), stretches(after, self._seconds)
        if ((first == here - 1) & (last == here + 1)).all():
            return zip(here.tolist(), first.tolist(), last.tolist(), strict=True)
        return iter(
            [
                (number, *({low, low + 1, high - 1, high} - {number}))
                for number, low, high in zip(
                    here.tolist(), first.tolist(), last.tolist(), strict=True
                )
            ]
        )

    def delta(self, hashes: Hashes, times: Floats, references: Ints, matches: Matches) -> Delta:
        """What `decide` added: the keys of the unique records."""
        return unique_delta(hashes, times, references, matches)

    def apply(self, delta: Delta) -> None:
        """Add what an earlier `decide` added."""
        numbers = stretches(delta.times, self._seconds).tolist()
        rows = zip(
            numbers,
            key_bytes(delta.hashes),
            delta.times.tolist(),
            delta.references.tolist(),
            strict=True,
        )
        for number, key, time, reference in rows:
            self._keys += self._bucket(number).add(key, time, reference)

    def expire(self, horizon: float) -> None:
        """Drop the buckets that no record at the horizon or after it can match."""
        while self._order:
            bucket = self._buckets[self._order[0]]
            # Rounding is monotonic: what is far enough from the newest key of the
            # bucket now is so for its other keys and for every later record.
            if not horizon - bucket.newest >= self._seconds:
                return
            del self._buckets[heapq.heappop(self._order)]
            self._keys -= len(bucket.table) + sum(map(len, bucket.more.values()))

    def expired(self, newest: float, horizon: float) -> bool:
        """Tell whether keys up to `newest` are W or more before the horizon."""
        return horizon - newest >= self._seconds

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: the entries of each bucket as columns."""
        buckets = []
        for number, bucket in self._buckets.items():
            entries = [(key, *entry) for key, entry in bucket.table.items()]
            entries += [(key, *entry) for key, more in bucket.more.items() for entry in more]
            keys, times, references = zip(*entries, strict=True)
            buckets.append(
                (number, b"".join(keys), np.array(times), np.array(references, np.int64))
            )
        return {"buckets": buckets}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._buckets, self._order, self._keys = {}, [], 0
        for _, keys, times, references in state["buckets"]:
            self.apply(Delta(np.frombuffer(keys, "<u8").reshape(-1, 2), times, references))
