"""Keys in columns, with what their window needs: compact, bounded, dropped in steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints
from operators.columns.growable_column import GrowableColumn
from operators.windows.bound import EVICTED_SHARE, Bound
from operators.windows.key_table.ages import KeyAges
from operators.windows.key_table.decide_loop import (
    Occupancy,
    Probes,
    Results,
    TableColumns,
    decide_sequentially,
)
from operators.windows.key_table.index import KeyIndex
from operators.windows.key_table.probing import DROPPED, Entries, mix_keys

# Rows of a batch of its own; the kernel would only move a smaller column more often.
_FIRST_SIZE = 1024
# Periods of key age over max_keys stamps: an exact order would need sorting.
_PERIODS = 4 * EVICTED_SHARE
# Dropped keys that leave the index at once, while a lane decides: under a millisecond.
# It is twice the number of added keys if that is more, or memory would grow meanwhile.
MIN_SWEPT = 4096

_MAX_STAMP = int(DROPPED) - 1
_HALF_OF_STAMPS = 1 << 31


class KeyTable:
    """Columns of keys under entry numbers, with `bucket_or_time` and `references`.

    Each key has a stamp, a running number from when it was added or renewed, which says
    which keys are the oldest.  Promises: at most `max_keys` are held.  Dropping keys scans
    one column; their rows become free in steps (`sweep`).  Memory is about 50 bytes a key
    at the largest size, and is given back when the last key goes.
    """

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._period = max(1, bound.max_keys // _PERIODS)
        self.evicted = 0
        self._clear()

    def _clear(self) -> None:
        self._index = KeyIndex()
        self._keys = GrowableColumn(np.uint64, _FIRST_SIZE, width=2)
        self._bucket_or_time = GrowableColumn(np.float64, _FIRST_SIZE)
        self._references = GrowableColumn(np.int64, _FIRST_SIZE)
        self._stamps = GrowableColumn(np.uint32, _FIRST_SIZE)
        self._free = GrowableColumn(np.uint32, _FIRST_SIZE)
        self._free_count = 0
        self._end = 0
        self._held = 0
        self._dropped: list[Ints] = []
        self._now = 0
        self._ages = KeyAges(self._period)
        self._added_since_sweep = 0

    def __len__(self) -> int:
        """Return the number of keys held."""
        return self._held

    # Adding keys replaces these arrays.
    @property
    def keys(self) -> Hashes:
        """The keys."""
        return self._keys.rows

    @property
    def bucket_or_time(self) -> Floats:
        """The bucket of each key, or its event time; NaN for a dropped key."""
        return self._bucket_or_time.rows

    @property
    def references(self) -> Ints:
        """Reference of the record that each key came with."""
        return self._references.rows

    @property
    def stamps(self) -> Entries:
        """A stamp for each key, `DROPPED` for a dropped key."""
        return self._stamps.rows

    @property
    def size_bytes(self) -> int:
        """Memory taken, free rows included."""
        columns = (self.keys, self.bucket_or_time, self.references, self.stamps, self._free.rows)
        return sum(column.nbytes for column in columns) + self._index.size_bytes

    @property
    def room(self) -> int:
        """How many keys can be added before some must be evicted."""
        return self._bound.max_keys - self._held

    def find(self, keys: Hashes) -> Ints:
        """Return the entry of each key, −1 where it is not held."""
        stamps = self.stamps if self._dropped else None
        return self._index.find(mix_keys(keys), keys, self.keys, stamps)

    def decide(
        self, probes: Probes, levels: int, begin: int, results: Results
    ) -> tuple[int, int, int]:
        """Decide records from `begin` on, as far as there is room for the keys that they add.

        Returns the row where it ended, how many keys it renewed, and the number of levels
        after that (operators/windows/key_table/decide_loop.py).
        """
        max_added = (len(probes.bucket_or_time) - begin) * probes.hashes.shape[1]
        self._make_room(min(max_added, self.room))
        self._reserve_stamps(max_added)
        occupancy = Occupancy(
            regions=self._index.regions,
            end=self._end,
            free=self._free_count,
            room=self.room,
            now=self._now,
            renewed_after=self._bound.renewed_after if self._bound.renew else -1,
        )
        stamps = self.stamps
        columns = TableColumns(
            words=self._index.words,
            slots=self._index.slots,
            keys=self.keys,
            bucket_or_time=self.bucket_or_time,
            references=self.references,
            stamps=stamps,
            dropped=stamps if self._dropped else stamps[:0],
            free=self._free.rows,
        )
        row, added, renewed, levels = decide_sequentially(
            columns, occupancy, probes, levels, begin, results
        )
        self._note_added(added)
        self._added_since_sweep += added
        self._ages.add(self.take_stamps(added + renewed))
        self._ages.remove(results.stamps_before[:renewed])
        return row, renewed, levels

    def take_stamps(self, count: int) -> Ints:
        """Return the next stamps; each is given once."""
        self._reserve_stamps(count)
        self._now += count
        return np.arange(self._now - count, self._now)

    def _reserve_stamps(self, count: int) -> None:
        """Make sure that the next `count` stamps fit into 32 bits."""
        if self._now + count > _MAX_STAMP:
            self._restamp()

    def _restamp(self) -> None:
        """Subtract half of the range from all stamps; keys older than that become equally old."""
        stamps = self.stamps[: self._end]
        lowered = np.maximum(stamps, _HALF_OF_STAMPS) - np.uint32(_HALF_OF_STAMPS)
        stamps[:] = np.where(stamps == DROPPED, DROPPED, lowered)
        self._now -= _HALF_OF_STAMPS
        self._ages = KeyAges(self._period)
        self._ages.add(stamps[stamps != DROPPED].astype(np.int64))

    def add(self, keys: Hashes, bucket_or_time: Floats, references: Ints, stamps: Ints) -> None:
        """Add keys that are not held and differ; there must be room for them."""
        count = len(keys)
        if not count:
            return
        self._make_room(count)
        reused = min(count, self._free_count)
        freed = self._free.rows[self._free_count - reused : self._free_count]
        new = np.arange(self._end, self._end + count - reused)
        entries = np.concatenate([freed.astype(np.int64), new])
        self.keys[entries] = keys
        self.bucket_or_time[entries] = bucket_or_time
        self.references[entries] = references
        self.stamps[entries] = stamps
        self._index.add(mix_keys(keys), entries)
        self._note_added(count)
        self._ages.add(stamps)

    def _make_room(self, count: int) -> None:
        """Grow the columns and the index for `count` more keys."""
        in_use = self._end - self._free_count
        for column in (self._keys, self._bucket_or_time, self._references, self._stamps):
            column.grow(self._end + max(count - self._free_count, 0))
        self._index.make_room(in_use + count, self.keys)

    def _note_added(self, count: int) -> None:
        """Count added keys: they take free entries first, then those at the end."""
        reused = min(count, self._free_count)
        self._free_count -= reused
        self._end += count - reused
        self._held += count

    def renew(self, entries: Ints, stamps: Ints) -> None:
        """Give keys later stamps; of several stamps for one entry the last one counts."""
        if len(entries):
            entries, last = np.unique(entries[::-1], return_index=True)
            self._ages.remove(self.stamps[entries].astype(np.int64))
            stamps = stamps[::-1][last]
            self.stamps[entries] = stamps
            self._ages.add(stamps)

    def drop_before(self, border: float, *, included: bool = False) -> None:
        """Drop the keys whose `bucket_or_time` is below a border, or (included) at it."""
        held = self.bucket_or_time[: self._end]
        self._drop(np.flatnonzero(held <= border if included else held < border))

    def oldest(self) -> float:
        """Return the smallest `bucket_or_time`, infinite if no key is held."""
        return float(np.fmin.reduce(self.bucket_or_time[: self._end], initial=np.inf))

    def held_bucket_or_time(self) -> Floats:
        """Return a copy of `bucket_or_time` of the keys held."""
        column = self.bucket_or_time[: self._end]
        held: Floats = column[~np.isnan(column)]
        return held

    def evict(self) -> None:
        """Drop the oldest keys, about `keys_per_eviction` of them."""
        border = self._ages.border_of_oldest(self._bound.keys_per_eviction)
        oldest = np.flatnonzero(self.stamps[: self._end] < min(border, _MAX_STAMP))
        self.evicted += len(oldest)
        self._drop(oldest)
        # Free their rows at once: new keys need them, or memory would grow.
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
        self._ages.remove(self.stamps[entries].astype(np.int64))
        self.stamps[entries] = DROPPED
        self.bucket_or_time[entries] = np.nan
        self._dropped.append(entries)

    def sweep(self, limit: int | None = None) -> None:
        """Make up to `limit` rows of dropped keys free again.

        None: a number that takes little time, and is more than `decide` added meanwhile.
        """
        if limit is None:
            limit = max(MIN_SWEPT, 2 * self._added_since_sweep)
            self._added_since_sweep = 0
        while self._dropped and limit > 0:
            entries = self._dropped.pop(0)
            if len(entries) > limit:
                self._dropped.insert(0, entries[limit:])
                entries = entries[:limit]
            limit -= len(entries)
            self._index.remove(mix_keys(self.keys[entries]), entries)
            self._free.grow(self._free_count + len(entries))
            self._free.rows[self._free_count : self._free_count + len(entries)] = entries
            self._free_count += len(entries)

    def dump(self) -> dict[str, Any]:
        """Copy the keys held, in the order of their stamps."""
        live = np.flatnonzero(self.stamps[: self._end] != DROPPED)
        live = live[np.argsort(self.stamps[live], kind="stable")]
        return {
            "keys": self.keys[live],
            "bucket_or_time": self.bucket_or_time[live],
            "references": self.references[live],
            "stamps": self.stamps[live],
            "now": self._now,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a dump; of more keys than there is room for, the newest."""
        self._clear()
        self._now = int(state["now"])
        stamps = state["stamps"].astype(np.int64)
        first = max(0, len(stamps) - self._bound.max_keys)  # the bound may be smaller now
        for begin in range(first, len(stamps), MIN_SWEPT):
            rows = slice(begin, begin + MIN_SWEPT)
            self.add(
                state["keys"][rows],
                state["bucket_or_time"][rows],
                state["references"][rows],
                stamps[rows],
            )
