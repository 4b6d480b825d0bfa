"""Keys in RocksDB: read, written with the progress they belong to, expired, evicted."""

from __future__ import annotations

import math
from itertools import islice, takewhile

import msgspec
import numpy as np

from operators.changes import Delta, LaneProgress
from operators.columns.arrays import Bools, Ints
from operators.windows.disk import layout as lying
from operators.windows.disk.buckets import Buckets
from operators.windows.disk.layout import NUMBER_BYTES, KeyLayout
from operators.windows.disk.rocksdb import ENDS, KEYS, META, ORDER, RocksBatch, RocksDatabase
from operators.windows.disk.victims import Choosing, Victims
from operators.windows.key_table.table import Bound
from operators.windows.store import bucket_numbers

# Keys that are evicted, or sessions that expire, in one step: a few milliseconds.  Sessions
# are twice what was written where that is more: else there would be ever more of them.
_STEP = 2048
# Sizes are asked of RocksDB once in so many writes.
_SIZE_EVERY = 64
_PROGRESS = b"progress"


class DiskKeys:
    """Keys of one lane.

    Promises: every change of them, the number of keys and the progress are written in
    one batch.  What an `ordinal` is for: the rows of `order` are the keys by it, the
    oldest first, and a key's value has the ordinal under which it stands there.

    What `expire` and `choose` take away is not found and not counted from then on.  On
    disk it stays until `remove_expired` and `put` are told that it is committed: after
    a kill the same records are decided again, and need the same keys.
    """

    def __init__(self, layout: KeyLayout, bound: Bound, database: RocksDatabase) -> None:
        self._layout = layout
        self._bound = bound
        self._database = database
        self._held = self._ordinal = self._writes = self._ends_since_looked = 0
        self._buckets = Buckets(layout, database)
        self._choosing = Choosing(database)
        self._horizon = -math.inf
        self._uncounted = 0
        self.size_bytes = database.disk_bytes()
        self.progress: LaneProgress | None = None
        stored = database.get_one(META, _PROGRESS)
        if stored is not None:
            found = msgspec.msgpack.decode(stored)
            self._held, self._ordinal = found["held"], found["ordinal"]
            self.progress = LaneProgress(*found["progress"])

    def __len__(self) -> int:
        """Return the number of keys, less those that are expired or chosen for eviction."""
        return self._held - self._uncounted

    def _write(self, batch: RocksBatch) -> None:
        kept = {"progress": self.progress, "held": self._held, "ordinal": self._ordinal}
        batch.put(META, _PROGRESS, msgspec.msgpack.encode(kept))
        self._database.write(batch)
        self._writes += 1
        if self._writes % _SIZE_EVERY == 1:
            self.size_bytes = self._database.disk_bytes()

    def find(self, keys: list[bytes]) -> tuple[Delta, Bools]:
        """Return what there is of some keys, and which of that is due to be renewed."""
        if leaving := self._choosing.leaving:
            keys = [key for key in keys if key not in leaving]
        values = self._database.get(KEYS, keys)
        found = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
        if not found:
            return Delta.empty(), np.zeros(0, np.bool_)
        delta, ordinals = lying.found_delta(*zip(*found, strict=True))
        due: Bools = ordinals < self._ordinal - self._bound.renewed_after
        return delta, due & self._bound.renew

    def mark(self, end: int) -> None:
        """Note where the changelog ended."""
        if self.progress is not None:
            self.progress = self.progress._replace(end=end)
            self._write(self._database.batch())

    def put(
        self,
        delta: Delta,
        new: Bools,
        progress: LaneProgress,
        evicted: Victims,
        *,
        must_read_before_write: bool,
    ) -> None:
        """Write what a transaction changed.

        new: which rows are keys that are not there.  evicted: what was chosen while it was
        decided; none of its rows was before that.  merging: whether there may be
        others with the same key in the same stretch, so that one has to look.
        """
        batch = self._database.batch()
        self._remove(batch, evicted)
        if len(delta):
            ordinals = np.arange(self._ordinal, self._ordinal + len(delta))
            self._ordinal += len(delta)
            homes = self._layout.bucket_of(delta.times)
            keys = lying.keys_at(homes, delta.hashes)
            if must_read_before_write:
                new = self._put_merged(batch, keys, delta, ordinals, set(evicted.keys))
            else:
                batch.put_all(KEYS, keys, lying.values_of(ordinals, delta))
                batch.put_all(ORDER, _big_endian(ordinals), keys)
            if not self._layout.entries_grow:
                self._held += int(new.sum())
                self._buckets.add(batch, homes[new], delta.times[new], int(ordinals[0]))
        end = 0 if self.progress is None else self.progress.end
        self.progress = progress._replace(end=max(end, progress.end))
        self._write(batch)

    def _put_merged(
        self,
        batch: RocksBatch,
        keys: list[bytes],
        delta: Delta,
        ordinals: Ints,
        evicted: set[bytes],
    ) -> Bools:
        """Write keys after what they have already; return which rows made more entries."""
        unique = list(dict.fromkeys(keys))
        known = dict(zip(unique, self._database.get(KEYS, unique), strict=True))
        known.update(dict.fromkeys(evicted.intersection(known)))  # removed in the same batch
        firsts = delta.times if delta.firsts is None else delta.firsts
        rows = zip(firsts.tolist(), delta.times.tolist(), delta.references.tolist(), strict=True)
        order: dict[int, bytes] = {}
        more = np.zeros(len(keys), np.bool_)
        held = 0
        for row, (key, ordinal, entry) in enumerate(
            zip(keys, ordinals.tolist(), rows, strict=True)
        ):
            value = known[key]
            entries = [] if value is None else lying.entries_of(value)
            merged = self._layout.merged(entries, entry)
            moves = self._bound.renew or self._layout.added_again(entries, entry)
            if value is not None and not moves:
                ordinal = lying.ordinal_of(value)  # noqa: PLW2901 - it stays where it is
            elif value is not None and order.pop(lying.ordinal_of(value), None) is None:
                batch.delete(ORDER, [lying.order_of(lying.ordinal_of(value))])
            if value is None or moves:
                order[ordinal] = key
            known[key] = lying.value_of(ordinal, merged)
            more[row] = len(merged) > len(entries)
            held += len(merged) - len(entries)
        batch.put_all(KEYS, unique, [value for value in known.values() if value is not None])
        batch.put_all(ORDER, _big_endian(np.array(list(order), np.int64)), list(order.values()))
        if self._layout.entries_grow:
            self._held += held
            ends = lying.keys_at(bucket_numbers(delta.times, self._layout.seconds), delta.hashes)
            batch.put_all(ENDS, ends, [b""] * len(ends))
            self._ends_since_looked += len(ends)
        return more

    def expire(self, horizon: float) -> None:
        """From now on do not count what no record with an event time ≥ horizon could match."""
        self._horizon = max(self._horizon, horizon)
        self._count_again()

    def _count_again(self) -> None:
        """Count what is there without being held any more."""
        self._uncounted = self._buckets.look(self._horizon)
        self._uncounted += sum(self._choosing.leaving.values())

    def remove_expired(self, horizon: float) -> None:
        """Remove what expired, given the horizon of what was put last; sessions in steps."""
        if self._layout.entries_grow:
            self._remove_ended(horizon)
        elif gone := self._buckets.gone_at(horizon):
            self._remove_stretches(gone)
        self._count_again()

    def _remove_stretches(self, gone: list[float]) -> None:
        batch = self._database.batch()
        self._held -= self._buckets.remove(batch, gone)
        for key in self._choosing.leaving:
            if lying.number_of(key) in gone:
                self._choosing.leaving[key] = 0
        batch.delete_range(KEYS, b"", lying.after(gone[-1]))
        batch.delete_range(ORDER, b"", lying.order_of(self._buckets.first(self._ordinal)))
        self._write(batch)

    def _remove_ended(self, horizon: float) -> None:
        """Look at some of the keys of which a session has ended."""
        if not math.isfinite(horizon) or not self._held:
            return
        border = lying.sortable(np.array([self._layout.ended_before(horizon)]))
        at_once = max(_STEP, 2 * self._ends_since_looked)
        self._ends_since_looked = 0
        rows = islice(self._database.items(ENDS), at_once)
        ends = [key for key, _ in takewhile(lambda row: row[0][:NUMBER_BYTES] < border, rows)]
        if not ends:
            return
        zero = lying.sortable(np.zeros(1))
        keys = list(dict.fromkeys(zero + end[NUMBER_BYTES:] for end in ends))
        batch = self._database.batch()
        for key, value in zip(keys, self._database.get(KEYS, keys), strict=True):
            if value is None:
                continue
            entries = lying.entries_of(value)
            live = [one for one in entries if not horizon - one[1] >= self._layout.seconds]
            self._held -= len(entries) - len(live)
            if key in self._choosing.leaving:
                self._choosing.leaving[key] = len(live)
            if live:
                batch.put(KEYS, key, lying.value_of(lying.ordinal_of(value), live))
            else:
                batch.delete(KEYS, [key])
                batch.delete(ORDER, [lying.order_of(lying.ordinal_of(value))])
        batch.delete_range(ENDS, b"", ends[-1] + b"\0")
        self._write(batch)

    def choose(self, busy: set[bytes]) -> Victims | None:
        """Choose some of the oldest keys to be evicted; return None if there are no more.

        busy: keys of which a change is not put yet; they are not chosen.
        """
        count = min(_STEP, self._bound.evicted_at_once)
        first = b""
        if self._buckets.expired:
            first = lying.order_of(self._buckets.first(self._ordinal, gone=False))
        victims = self._choosing.choose(
            count,
            first,
            lambda key: key in busy or lying.number_of(key) in self._buckets.expired,
        )
        if victims is not None:
            chosen = {key: self._choosing.leaving[key] for key in victims.keys}
            self._uncounted += sum(chosen.values())
            self._buckets.leave(chosen)
        return victims

    def evict(self, victims: Victims) -> None:
        """Remove keys that were chosen, where all that was decided is put."""
        batch = self._database.batch()
        self._remove(batch, victims)
        self._write(batch)

    def _remove(self, batch: RocksBatch, victims: Victims) -> None:
        removed = self._choosing.remove(batch, victims)
        self._held -= sum(removed.values())
        self._uncounted -= sum(removed.values())
        self._buckets.evict(batch, removed)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def _big_endian(ordinals: Ints) -> list[bytes]:
    column: list[bytes] = ordinals.astype(">u8").view("V8").tolist()
    return column
