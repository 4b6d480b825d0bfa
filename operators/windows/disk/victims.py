"""Which keys in RocksDB are evicted: the oldest, chosen some time before they are removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from operators.windows.disk import layout as lying
from operators.windows.disk.rocksdb import KEYS, ORDER, RocksBatch, RocksDatabase


@dataclass(slots=True)
class Victims:
    """Keys chosen for eviction, and the stretches of `order` that hold only their rows."""

    keys: list[bytes] = field(default_factory=list)
    runs: list[tuple[bytes, bytes]] = field(default_factory=list)

    def add(self, more: Victims) -> None:
        """Take in more of them."""
        self.keys += more.keys
        self.runs += more.runs


class Choosing:
    """Chooses the oldest keys, in steps, and removes them later.

    leaving: keys that were chosen and are not removed yet, with the number of their
    entries.
    """

    def __init__(self, database: RocksDatabase) -> None:
        self.leaving: dict[bytes, int] = {}
        self._database = database
        # Rows of the order before the first place have been looked at.  From the second one
        # on some were passed over: they are looked at again after the next `remove`.
        self._looked_to = b""
        self._passed_over: bytes | None = None

    def choose(self, count: int, first: bytes, stays: Callable[[bytes], bool]) -> Victims | None:
        """Choose about `count` keys; return None if there are no more.

        first: a place in the order before which no key may be chosen now.  stays: whether
        a key may not be chosen now.
        """
        begin = self._looked_to
        if first > begin:
            self._pass_over(begin)
            begin = first
        rows = self._database.items(ORDER, begin)
        chosen = Victims()
        while not chosen.keys:
            oldest = list(islice(rows, count))
            if not oldest:
                return None
            keys = [key for _, key in oldest]
            for (order, key), value in zip(oldest, self._database.get(KEYS, keys), strict=True):
                if value is None or lying.ordinal_of(value) != lying.ordinal_at(order):
                    continue  # expired with its stretch, or chosen and added again
                leaving = key in self.leaving
                if not leaving and not stays(key):
                    self.leaving[key] = len(lying.entries_of(value))
                    chosen.keys.append(key)
                    continue
                if not leaving:
                    self._pass_over(order)
                if begin < order:
                    chosen.runs.append((begin, order))
                begin = order + b"\0"
            self._looked_to = oldest[-1][0] + b"\0"
            if begin < self._looked_to:
                chosen.runs.append((begin, self._looked_to))
            begin = self._looked_to
        return chosen

    def _pass_over(self, order: bytes) -> None:
        self._passed_over = order if self._passed_over is None else min(self._passed_over, order)

    def remove(self, batch: RocksBatch, victims: Victims) -> dict[bytes, int]:
        """Remove keys that were chosen; return the number of entries of each.

        To be called with no victims too: keys that were passed over may be chosen then.
        """
        batch.delete(KEYS, victims.keys)
        for begin, end in victims.runs:
            batch.delete_range(ORDER, begin, end)
        if self._passed_over is not None:
            self._looked_to, self._passed_over = self._passed_over, None
        return {key: self.leaving.pop(key) for key in victims.keys}
