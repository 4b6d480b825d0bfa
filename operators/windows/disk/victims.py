"""Which keys in RocksDB are evicted: the oldest, chosen some time before they are removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from operators.windows.disk import layout as key_layout
from operators.windows.disk.rocksdb import KEYS, ORDER, RocksBatch, RocksDatabase


@dataclass(slots=True)
class Victims:
    """Keys chosen for eviction, and ranges of `order` that hold no rows of other keys."""

    keys: list[bytes] = field(default_factory=list)
    ranges: list[tuple[bytes, bytes]] = field(default_factory=list)

    def add(self, more: Victims) -> None:
        """Add other victims."""
        self.keys += more.keys
        self.ranges += more.ranges


class VictimChooser:
    """Chooses the oldest keys, in steps, and removes them later.

    leaving: keys that were chosen and are not removed yet, with the number of their
    entries.
    """

    def __init__(self, database: RocksDatabase) -> None:
        self.leaving: dict[bytes, int] = {}
        self._database = database
        # Rows of the order before `_scanned_to` have been scanned.  Some from `_passed_over`
        # on could not be chosen; they are scanned again after the next `remove`.
        self._scanned_to = b""
        self._passed_over: bytes | None = None

    def choose(self, count: int, first: bytes, stays: Callable[[bytes], bool]) -> Victims | None:
        """Choose about `count` keys; return None if there are no more.

        first: a row of the order; no key before it may be chosen now.  stays: tells whether
        a key may not be chosen now.
        """
        begin = self._scanned_to
        if first > begin:
            self._pass_over(begin)
            begin = first
        rows = self._database.items(ORDER, begin)
        victims = Victims()
        while not victims.keys:
            oldest = list(islice(rows, count))
            if not oldest:
                return None
            keys = [key for _, key in oldest]
            for (order, key), value in zip(oldest, self._database.get(KEYS, keys), strict=True):
                if value is None or key_layout.ordinal_of(value) != key_layout.ordinal_at(order):
                    continue  # its bucket expired, or it was chosen and added again
                leaving = key in self.leaving
                if not leaving and not stays(key):
                    self.leaving[key] = len(key_layout.entries_of(value))
                    victims.keys.append(key)
                    continue
                if not leaving:
                    self._pass_over(order)
                if begin < order:
                    victims.ranges.append((begin, order))
                begin = order + b"\0"
            self._scanned_to = oldest[-1][0] + b"\0"
            if begin < self._scanned_to:
                victims.ranges.append((begin, self._scanned_to))
            begin = self._scanned_to
        return victims

    def _pass_over(self, order: bytes) -> None:
        self._passed_over = order if self._passed_over is None else min(self._passed_over, order)

    def remove(self, batch: RocksBatch, victims: Victims) -> dict[bytes, int]:
        """Remove keys that were chosen; return the number of entries of each.

        Call it without victims, too: keys that were passed over may be chosen afterwards.
        """
        batch.delete(KEYS, victims.keys)
        for begin, end in victims.ranges:
            batch.delete_range(ORDER, begin, end)
        if self._passed_over is not None:
            self._scanned_to, self._passed_over = self._passed_over, None
        return {key: self.leaving.pop(key) for key in victims.keys}
