"""Keys with what their window needs of them, in columns: compact, bounded, dropped in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.growable_column import Column
from operators.windows.key_table.decide_loop import (
    Columns,
    Occupancy,
    Probes,
    Results,
    decide_sequentially,
)
from operators.windows.key_table.index import DROPPED, Entries, KeyIndex, spread

# Rows of a batch to itself; smaller ones would only be moved more often.
_FIRST_SIZE = 1024
# One part in so many is evicted at once, since it takes a look over all keys; of a few
# keys a larger part.
_SHARE_EVICTED = 64
_LARGEST_SHARE_EVICTED = 8
_EVICTED_AT_LEAST = 256
# Key age is told in periods of one part in so many: an exact order would have to be sorted.
_PERIODS = 4 * _SHARE_EVICTED
# A duplicate renews its key only if that is older than this part of all: hot keys
# would be renewed all the time otherwise, and every renewal is in the changelog.
_SHARE_FRESH = 16
# Dropped keys that leave the index at once, while a lane decides: under a millisecond.  It is
# twice what was added where that is more: else memory would grow for as long as it goes on.
SWEPT_AT_ONCE = 4096

_LAST_STAMP = int(DROPPED) - 1
_HALF_OF_STAMPS = 1 << 31


@dataclass(frozen=True, slots=True)
class Bound:
    """How many keys a store holds at most, and which go first.

    max_keys: ≥ 1.  renew: whether a duplicate renews its key (`lru`), or the time of
    its first sighting counts (`oldest`).
    """

    max_keys: int = 10_000_000
    renew: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a bound below 1."""
        if self.max_keys < 1:
            msg = f"max_keys is {self.max_keys}, must be at least 1"
            raise ValueError(msg)

    @property
    def evicted_at_once(self) -> int:
        """How many keys go at once, about."""
        few = min(_EVICTED_AT_LEAST, self.max_keys // _LARGEST_SHARE_EVICTED)
        return max(1, few, self.max_keys // _SHARE_EVICTED)

    @property
    def renewed_after(self) -> int:
        """How many keys must have been added or renewed since before a key is renewed."""
        return self.max_keys // _SHARE_FRESH

    def check(self, combinations: int) -> None:
        """Raise ValueError where a record has more keys than may be held."""
        if combinations > self.max_keys:
            msg = f"max_keys is {self.max_keys}, but a record has {combinations} keys"
            raise ValueError(msg)


class KeyTable:
    """Columns of keys under entry numbers: `ats` (a window or a time), `references`.

    Each key has a stamp, a running number from when it was added or renewed, by
    which the oldest are evicted.  Promises: at most `max_keys` are held; dropping
    costs a look over one column, and the rest is swept up in steps.  Memory is
    about 50 bytes a key at its largest size; it is given back when the last key goes.
    """

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._period = max(1, bound.max_keys // _PERIODS)
        self.evicted = 0
        self._clear()

    def _clear(self) -> None:
        self._index = KeyIndex()
        self._keys = Column(np.uint64, _FIRST_SIZE, width=2)
        self._ats = Column(np.float64, _FIRST_SIZE)
        self._references = Column(np.int64, _FIRST_SIZE)
        self._stamps = Column(np.uint32, _FIRST_SIZE)
        self._free = Column(np.uint32, _FIRST_SIZE)
        self._free_count = 0
        self._end = 0
        self._held = 0
        self._dropped: list[Ints] = []
        self._now = 0
        self._periods: dict[int, int] = {}
        self._added_since_swept = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self._held

    # Arrays of entries; no longer these once keys are added.
    @property
    def keys(self) -> Hashes:
        """The keys."""
        return self._keys.rows

    @property
    def ats(self) -> Floats:
        """A window or a time for each key, NaN for one that is dropped."""
        return self._ats.rows

    @property
    def references(self) -> Ints:
        """Reference of the record that each key came with."""
        return self._references.rows

    @property
    def stamps(self) -> Entries:
        """A stamp for each key, `DROPPED` for one that is to be removed."""
        return self._stamps.rows

    @property
    def size_bytes(self) -> int:
        """Memory taken, free rows included."""
        columns = (self.keys, self.ats, self.references, self.stamps, self._free.rows)
        return sum(column.nbytes for column in columns) + self._index.size_bytes

    @property
    def room(self) -> int:
        """How many keys can be added before some must be evicted."""
        return self._bound.max_keys - self._held

    def find(self, keys: Hashes) -> Ints:
        """Entry of each key, −1 where it is not held."""
        stamps = self.stamps if self._dropped else None
        return self._index.find(spread(keys), keys, self.keys, stamps)

    def decide(
        self, asked: Probes, levels: int, begin: int, answers: Results
    ) -> tuple[int, int, int]:
        """Decide records from `begin` on, as far as there is room for what they add.

        Returns the row where it ended, how many keys it renewed, and the levels there
        are now (operators/windows/key_table/decide_loop.py).
        """
        most = (len(asked.ats) - begin) * asked.hashes.shape[1]
        self._make_room(min(most, self.room))
        self._leave_stamps(most)
        occupancy = Occupancy(
            regions=self._index.regions,
            end=self._end,
            free=self._free_count,
            room=self.room,
            now=self._now,
            renewed_after=self._bound.renewed_after if self._bound.renew else -1,
        )
        stamps = self.stamps
        columns = Columns(
            words=self._index.words,
            slots=self._index.slots,
            keys=self.keys,
            ats=self.ats,
            references=self.references,
            stamps=stamps,
            dropped=stamps if self._dropped else stamps[:0],
            free=self._free.rows,
        )
        row, added, renewed, levels = decide_sequentially(
            columns, occupancy, asked, levels, begin, answers
        )
        self._took(added)
        self._added_since_swept += added
        self._count(self.stamp(added + renewed), 1)
        self._count(answers.stamps_before[:renewed], -1)
        return row, renewed, levels

    def stamp(self, count: int) -> Ints:
        """Give the next stamps."""
        self._leave_stamps(count)
        self._now += count
        return np.arange(self._now - count, self._now)

    def _leave_stamps(self, count: int) -> None:
        """See to it that so many stamps can be given."""
        if self._now + count > _LAST_STAMP:
            self._restamp()

    def _restamp(self) -> None:
        """Take a half off all stamps; what is older than that is equally old from now on."""
        live = self.stamps[: self._end]
        older = np.maximum(live, _HALF_OF_STAMPS) - np.uint32(_HALF_OF_STAMPS)
        live[:] = np.where(live == DROPPED, DROPPED, older)
        self._now -= _HALF_OF_STAMPS
        self._periods = {}
        self._count(live[live != DROPPED].astype(np.int64), 1)

    def _count(self, stamps: Ints, by: int) -> None:
        """Count keys of a period in (1) or out (−1)."""
        if not len(stamps):
            return
        period = int(stamps[0]) // self._period
        # Nearly always: a batch is small beside a period.
        if period == int(stamps.min()) // self._period == int(stamps.max()) // self._period:
            counted = [(period, len(stamps))]
        else:
            periods, counts = np.unique(stamps // self._period, return_counts=True)
            counted = list(zip(periods.tolist(), counts.tolist(), strict=True))
        for period, count in counted:
            left = self._periods.get(period, 0) + by * count
            if left:
                self._periods[period] = left
            else:
                del self._periods[period]

    def add(self, keys: Hashes, ats: Floats, references: Ints, stamps: Ints) -> None:
        """Add keys that are not held and differ; there must be room for them."""
        count = len(keys)
        if not count:
            return
        self._make_room(count)
        reused = min(count, self._free_count)
        again = self._free.rows[self._free_count - reused : self._free_count]
        new = np.arange(self._end, self._end + count - reused)
        entries = np.concatenate([again.astype(np.int64), new])
        self.keys[entries] = keys
        self.ats[entries] = ats
        self.references[entries] = references
        self.stamps[entries] = stamps
        self._index.add(spread(keys), entries)
        self._took(count)
        self._count(stamps, 1)

    def _make_room(self, count: int) -> None:
        """Make room for so many keys more."""
        in_use = self._end - self._free_count
        for column in (self._keys, self._ats, self._references, self._stamps):
            column.grow(self._end + max(count - self._free_count, 0))
        self._index.make_room(in_use + count, self.keys)

    def _took(self, count: int) -> None:
        """Take note that so many keys were added: free entries first, then those at the end."""
        reused = min(count, self._free_count)
        self._free_count -= reused
        self._end += count - reused
        self._held += count

    def renew(self, entries: Ints, stamps: Ints) -> None:
        """Give keys later stamps; an entry may be given more than once: the last one counts."""
        if len(entries):
            entries, last = np.unique(entries[::-1], return_index=True)
            self._count(self.stamps[entries].astype(np.int64), -1)
            stamps = stamps[::-1][last]
            self.stamps[entries] = stamps
            self._count(stamps, 1)

    def drop_before(self, border: float, *, included: bool = False) -> None:
        """Drop the keys whose `ats` is below a border, or (included) at it."""
        ats = self.ats[: self._end]
        self._drop(np.flatnonzero(ats <= border if included else ats < border))

    def oldest_at(self) -> float:
        """Return the smallest `ats`, infinite if no key is held."""
        return float(np.fmin.reduce(self.ats[: self._end], initial=np.inf))

    def held_ats(self) -> Floats:
        """Copy `ats` of the keys held."""
        ats = self.ats[: self._end]
        held: Floats = ats[~np.isnan(ats)]
        return held

    def evict(self) -> None:
        """Drop the oldest keys, about one in `_SHARE_EVICTED`."""
        wanted = self._bound.evicted_at_once
        border = 0
        for period in sorted(self._periods):
            wanted -= self._periods[period]
            border = (period + 1) * self._period
            if wanted <= 0:
                break
        oldest = np.flatnonzero(self.stamps[: self._end] < min(border, _LAST_STAMP))
        self.evicted += len(oldest)
        self._drop(oldest)
        # Their rows are wanted now: memory must not grow.
        self.sweep(len(oldest))

    def _drop(self, entries: Ints) -> None:
        if not len(entries):
            return
        if len(entries) == self._held:
            now, evicted = self._now, self.evicted
            self._clear()
            self._now, self.evicted = now, evicted
            return
        self._held -= len(entries)
        self._count(self.stamps[entries].astype(np.int64), -1)
        self.stamps[entries] = DROPPED
        self.ats[entries] = np.nan
        self._dropped.append(entries)

    def sweep(self, limit: int | None = None) -> None:
        """Make rows of dropped keys free again, up to a number of them.

        Without one: so many that it takes little time, and faster than `decide` added keys.
        """
        if limit is None:
            limit = max(SWEPT_AT_ONCE, 2 * self._added_since_swept)
            self._added_since_swept = 0
        while self._dropped and limit > 0:
            entries = self._dropped.pop(0)
            if len(entries) > limit:
                self._dropped.insert(0, entries[limit:])
                entries = entries[:limit]
            limit -= len(entries)
            self._index.remove(spread(self.keys[entries]), entries)
            self._free.grow(self._free_count + len(entries))
            self._free.rows[self._free_count : self._free_count + len(entries)] = entries
            self._free_count += len(entries)

    def dump(self) -> dict[str, Any]:
        """Copy the keys held, in the order of their stamps."""
        live = np.flatnonzero(self.stamps[: self._end] != DROPPED)
        live = live[np.argsort(self.stamps[live], kind="stable")]
        return {
            "keys": self.keys[live],
            "ats": self.ats[live],
            "references": self.references[live],
            "stamps": self.stamps[live],
            "now": self._now,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` copied; more than there is room for is evicted."""
        self._clear()
        self._now = int(state["now"])
        stamps = state["stamps"].astype(np.int64)
        # A smaller bound than before: the newest stay.
        first = max(0, len(stamps) - self._bound.max_keys)
        for begin in range(first, len(stamps), SWEPT_AT_ONCE):
            rows = slice(begin, begin + SWEPT_AT_ONCE)
            self.add(
                state["keys"][rows], state["ats"][rows], state["references"][rows], stamps[rows]
            )
