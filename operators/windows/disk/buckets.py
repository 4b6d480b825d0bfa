"""Buckets of event time in RocksDB: how many keys each holds, and which are expired."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from operators.columns.arrays import Floats
from operators.windows.disk import layout as key_layout
from operators.windows.disk.layout import KeyLayout
from operators.windows.disk.rocksdb import BUCKETS, RocksBatch, RocksDatabase


@dataclass(slots=True)
class _Bucket:
    """The keys of a bucket.

    newest: event time.  first: an ordinal not after that of any of them.  leaving: how
    many of them are chosen for eviction.
    """

    count: int
    newest: float
    first: int
    leaving: int = 0


class Buckets:
    """The buckets that have keys on disk.

    expired: those of no more use at the last `update_expired`; they may still be on disk.
    """

    def __init__(self, layout: KeyLayout, database: RocksDatabase) -> None:
        self._layout = layout
        self._all = {
            key_layout.number_of(key): _Bucket(*msgspec.msgpack.decode(value))
            for key, value in database.items(BUCKETS)
        }
        self.expired: set[float] = set()

    def add(self, batch: RocksBatch, numbers: Floats, times: Floats, ordinal: int) -> None:
        """Count new keys.  numbers: of their buckets.  ordinal: not after that of any key."""
        for number in np.unique(numbers).tolist():
            rows = numbers == number
            bucket = self._all.setdefault(number, _Bucket(0, -math.inf, ordinal))
            bucket.count += int(rows.sum())
            bucket.newest = max(bucket.newest, float(times[rows].max()))
            self._put(batch, number)

    def _put(self, batch: RocksBatch, number: float) -> None:
        bucket = self._all[number]
        value = msgspec.msgpack.encode((bucket.count, bucket.newest, bucket.first))
        batch.put(BUCKETS, key_layout.sortable(np.array([number])), value)

    def leave(self, victims: Mapping[bytes, int]) -> None:
        """Note keys that are chosen for eviction, with the number of their entries."""
        for key, entries in victims.items():
            if bucket := self._all.get(key_layout.number_of(key)):
                bucket.leaving += entries

    def evict(self, batch: RocksBatch, victims: Mapping[bytes, int]) -> None:
        """Subtract evicted keys, with the number of their entries."""
        changed = set()
        for key, entries in victims.items():
            number = key_layout.number_of(key)
            if entries and number in self._all:
                self._all[number].count -= entries
                self._all[number].leaving -= entries
                changed.add(number)
        for number in changed:
            self._put(batch, number)

    def update_expired(self, horizon: float) -> int:
        """Find the expired buckets; return how many keys they hold, without chosen ones."""
        self.expired = set(self.expired_at(horizon))
        return sum(self._all[number].count - self._all[number].leaving for number in self.expired)

    def expired_at(self, horizon: float) -> list[float]:
        """Return the buckets of no more use at a horizon, up to the first one of use."""
        expired = []
        for number in sorted(self._all):
            if not self._layout.is_expired(number, self._all[number].newest, horizon):
                break
            expired.append(number)
        return expired

    def remove(self, batch: RocksBatch, numbers: list[float]) -> int:
        """Remove buckets, the first ones; return how many keys they held."""
        count = sum(self._all.pop(number).count for number in numbers)
        batch.delete_range(BUCKETS, b"", key_layout.after(numbers[-1]))
        return count

    def first_ordinal(self, otherwise: int, *, with_expired: bool = True) -> int:
        """Return an ordinal not after that of any key.

        otherwise: returned if there are no keys.  with_expired: whether expired keys count.
        """
        ordinals = (
            bucket.first
            for number, bucket in self._all.items()
            if with_expired or number not in self.expired
        )
        return min(ordinals, default=otherwise)
