"""Stretches of time in RocksDB: how many keys are in each, and which are of no more use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from operators.columns.arrays import Floats
from operators.windows.disk import layout as lying
from operators.windows.disk.layout import KeyLayout
from operators.windows.disk.rocksdb import BUCKETS, RocksBatch, RocksDatabase


@dataclass(slots=True)
class _Stretch:
    """Keys of a stretch of time: how many, the newest, and an ordinal before all of them.

    leaving: how many of them are chosen for eviction.
    """

    count: int
    newest: float
    first: int
    leaving: int = 0


class Buckets:
    """The stretches that have keys on disk.

    gone: those that were of no more use when `look` was called last; they may be on
    disk still.
    """

    def __init__(self, layout: KeyLayout, database: RocksDatabase) -> None:
        self._layout = layout
        self._all = {
            lying.number_of(key): _Stretch(*msgspec.msgpack.decode(value))
            for key, value in database.items(BUCKETS)
        }
        self.expired: set[float] = set()

    def add(self, batch: RocksBatch, homes: Floats, times: Floats, ordinal: int) -> None:
        """Count new keys."""
        for number in np.unique(homes).tolist():
            mine = homes == number
            one = self._all.setdefault(number, _Stretch(0, -math.inf, ordinal))
            one.count += int(mine.sum())
            one.newest = max(one.newest, float(times[mine].max()))
            self._put(batch, number)

    def _put(self, batch: RocksBatch, number: float) -> None:
        one = self._all[number]
        value = msgspec.msgpack.encode((one.count, one.newest, one.first))
        batch.put(BUCKETS, lying.sortable(np.array([number])), value)

    def leave(self, victims: Mapping[bytes, int]) -> None:
        """Take note of keys that are chosen for eviction, with the number of their entries."""
        for key, entries in victims.items():
            if one := self._all.get(lying.number_of(key)):
                one.leaving += entries

    def evict(self, batch: RocksBatch, victims: Mapping[bytes, int]) -> None:
        """Count such keys out."""
        changed = set()
        for key, entries in victims.items():
            number = lying.number_of(key)
            if entries and number in self._all:
                self._all[number].count -= entries
                self._all[number].leaving -= entries
                changed.add(number)
        for number in changed:
            self._put(batch, number)

    def look(self, horizon: float) -> int:
        """See which are of no more use; return how many keys they have, chosen ones aside."""
        self.expired = set(self.gone_at(horizon))
        return sum(self._all[number].count - self._all[number].leaving for number in self.expired)

    def gone_at(self, horizon: float) -> list[float]:
        """Stretches of no more use at a horizon, as far as they are the first ones."""
        gone = []
        for number in sorted(self._all):
            if not self._layout.is_expired(number, self._all[number].newest, horizon):
                break
            gone.append(number)
        return gone

    def remove(self, batch: RocksBatch, gone: list[float]) -> int:
        """Remove stretches; return how many keys they had."""
        count = sum(self._all.pop(number).count for number in gone)
        batch.delete_range(BUCKETS, b"", lying.after(gone[-1]))
        return count

    def first(self, otherwise: int, *, gone: bool = True) -> int:
        """Return an ordinal before all keys; gone: those of no more use too."""
        ones = (
            one.first for number, one in self._all.items() if gone or number not in self.expired
        )
        return min(ones, default=otherwise)
