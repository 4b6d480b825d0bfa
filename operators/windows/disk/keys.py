"""Keys of one lane in RocksDB: read, written with the progress they belong to, removed."""

from __future__ import annotations

import math
from itertools import islice, takewhile

import msgspec
import numpy as np

from operators.batches import InputPartition
from operators.changes import Delta, LaneProgress
from operators.columns.arrays import Bools, Ints
from operators.windows.bound import Bound
from operators.windows.disk import layout as key_layout
from operators.windows.disk.buckets import Buckets
from operators.windows.disk.layout import NUMBER_BYTES, KeyLayout
from operators.windows.disk.rocksdb import ENDS, KEYS, META, ORDER, RocksBatch, RocksDatabase
from operators.windows.disk.victims import VictimChooser, Victims
from operators.windows.store import bucket_numbers

# Keys evicted or sessions expired in one step: a few milliseconds.  It is twice the number
# of sessions written if that is more, or expired sessions would pile up.
_STEP = 2048
# RocksDB is asked for its size once in 64 writes.
_WRITES_PER_SIZE = 64
_PROGRESS, _INPUTS = b"progress", b"inputs"


class DiskKeys:
    """Keys of one lane.

    Promises: one batch holds a change of keys, the number of keys and the progress.  Each
    key has an ordinal: the rows of `order` are the keys by ordinal, the oldest first, and
    a key's value holds its ordinal.

    Keys that `expire` or `choose` takes away are not found and not counted from then on.
    They stay on disk until `remove_expired` and `put` come with their commit: after a kill
    the same records are decided again, and need the same keys.
    """

    def __init__(self, layout: KeyLayout, bound: Bound, database: RocksDatabase) -> None:
        self._layout = layout
        self._bound = bound
        self._database = database
        self._held = self._ordinal = self._writes = self._ended_since_removal = 0
        self._buckets = Buckets(layout, database)
        self._chooser = VictimChooser(database)
        self._horizon = -math.inf
        self._uncounted = self._inputs = 0
        self.size_bytes = database.disk_bytes()
        self.progress: LaneProgress | None = None
        stored = database.get_one(META, _PROGRESS)
        if stored is not None:
            kept = msgspec.msgpack.decode(stored)
            self._held, self._ordinal = kept["held"], kept["ordinal"]
            inputs = msgspec.msgpack.decode(
                database.get_one(META, _INPUTS) or b"\x90", type=tuple[InputPartition, ...]
            )
            self._inputs = len(inputs)
            if kept["progress"] is not None:
                self.progress = LaneProgress(**kept["progress"], inputs=inputs)

    def __len__(self) -> int:
        """Return the number of keys, without those that expired or are chosen for eviction."""
        return self._held - self._uncounted

    def _write(self, batch: RocksBatch) -> None:
        progress = None
        if self.progress is not None:
            progress = self.progress._asdict()
            inputs = progress.pop("inputs")
            if len(inputs) > self._inputs:  # the table only grows
                self._inputs = len(inputs)
                batch.put(META, _INPUTS, msgspec.msgpack.encode(inputs))
        kept = {"progress": progress, "held": self._held, "ordinal": self._ordinal}
        batch.put(META, _PROGRESS, msgspec.msgpack.encode(kept))
        self._database.write(batch)
        self._writes += 1
        if self._writes % _WRITES_PER_SIZE == 1:
            self.size_bytes = self._database.disk_bytes()

    def find(self, keys: list[bytes]) -> tuple[Delta, Bools]:
        """Return the entries of these keys, and which of them a duplicate renews."""
        if leaving := self._chooser.leaving:
            keys = [key for key in keys if key not in leaving]
        values = self._database.get(KEYS, keys)
        held = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
        if not held:
            return Delta.empty(), np.zeros(0, np.bool_)
        delta, ordinals = key_layout.delta_of(*zip(*held, strict=True))
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
        """Write the change of a transaction.

        new: which rows are keys that are not on disk.  evicted: keys chosen while the
        transaction was decided, all of them before its rows.  must_read_before_write:
        whether a bucket may already have entries of the same keys.
        """
        batch = self._database.batch()
        self._remove(batch, evicted)
        if len(delta):
            ordinals = np.arange(self._ordinal, self._ordinal + len(delta))
            self._ordinal += len(delta)
            buckets = self._layout.bucket_of(delta.times)
            keys = key_layout.keys_at(buckets, delta.hashes)
            if must_read_before_write:
                new = self._put_merged(batch, keys, delta, ordinals, set(evicted.keys))
            else:
                batch.put_all(KEYS, keys, key_layout.values_of(ordinals, delta))
                batch.put_all(ORDER, _big_endian(ordinals), keys)
            if not self._layout.entries_grow:
                self._held += int(new.sum())
                self._buckets.add(batch, buckets[new], delta.times[new], int(ordinals[0]))
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
        """Merge rows with the entries that keys have already; return which rows added one."""
        unique = list(dict.fromkeys(keys))
        known = dict(zip(unique, self._database.get(KEYS, unique), strict=True))
        known.update(dict.fromkeys(evicted.intersection(known)))  # the same batch removes them
        firsts = delta.times if delta.firsts is None else delta.firsts
        rows = zip(firsts.tolist(), delta.times.tolist(), delta.references.tolist(), strict=True)
        order: dict[int, bytes] = {}
        added = np.zeros(len(keys), np.bool_)
        held = 0
        for row, (key, ordinal, entry) in enumerate(
            zip(keys, ordinals.tolist(), rows, strict=True)
        ):
            value = known[key]
            entries = [] if value is None else key_layout.entries_of(value)
            merged = self._layout.merged(entries, entry)
            moves = self._bound.renew or self._layout.added_again(entries, entry)
            if value is not None and not moves:
                ordinal = key_layout.ordinal_of(value)  # noqa: PLW2901 - the key keeps its place
            elif value is not None and order.pop(key_layout.ordinal_of(value), None) is None:
                batch.delete(ORDER, [key_layout.order_of(key_layout.ordinal_of(value))])
            if value is None or moves:
                order[ordinal] = key
            known[key] = key_layout.value_of(ordinal, merged)
            added[row] = len(merged) > len(entries)
            held += len(merged) - len(entries)
        batch.put_all(KEYS, unique, [value for value in known.values() if value is not None])
        batch.put_all(ORDER, _big_endian(np.array(list(order), np.int64)), list(order.values()))
        if self._layout.entries_grow:
            self._held += held
            ends = key_layout.keys_at(
                bucket_numbers(delta.times, self._layout.seconds), delta.hashes
            )
            batch.put_all(ENDS, ends, [b""] * len(ends))
            self._ended_since_removal += len(ends)
        return added

    def expire(self, horizon: float) -> None:
        """No longer count keys that no record with an event time ≥ horizon can match."""
        self._horizon = max(self._horizon, horizon)
        self._update_uncounted()

    def _update_uncounted(self) -> None:
        """Count the keys that are on disk and not held any more."""
        self._uncounted = self._buckets.update_expired(self._horizon)
        self._uncounted += sum(self._chooser.leaving.values())

    def remove_expired(self, horizon: float) -> None:
        """Remove expired keys, given the horizon of the last change put; sessions in steps."""
        if self._layout.entries_grow:
            self._remove_ended(horizon)
        elif expired := self._buckets.expired_at(horizon):
            self._remove_buckets(expired)
        self._update_uncounted()

    def _remove_buckets(self, expired: list[float]) -> None:
        batch = self._database.batch()
        self._held -= self._buckets.remove(batch, expired)
        for key in self._chooser.leaving:
            if key_layout.number_of(key) in expired:
                self._chooser.leaving[key] = 0
        batch.delete_range(KEYS, b"", key_layout.after(expired[-1]))
        first = self._buckets.first_ordinal(self._ordinal)
        batch.delete_range(ORDER, b"", key_layout.order_of(first))
        self._write(batch)

    def _remove_ended(self, horizon: float) -> None:
        """Remove the sessions that ended, of the first keys in the list of ends."""
        if not math.isfinite(horizon) or not self._held:
            return
        border = key_layout.sortable(np.array([self._layout.ended_before(horizon)]))
        limit = max(_STEP, 2 * self._ended_since_removal)
        self._ended_since_removal = 0
        rows = islice(self._database.items(ENDS), limit)
        ends = [key for key, _ in takewhile(lambda row: row[0][:NUMBER_BYTES] < border, rows)]
        if not ends:
            return
        zero = key_layout.sortable(np.zeros(1))
        keys = list(dict.fromkeys(zero + end[NUMBER_BYTES:] for end in ends))
        batch = self._database.batch()
        for key, value in zip(keys, self._database.get(KEYS, keys), strict=True):
            if value is None:
                continue
            entries = key_layout.entries_of(value)
            live = [entry for entry in entries if not horizon - entry[1] >= self._layout.seconds]
            self._held -= len(entries) - len(live)
            if key in self._chooser.leaving:
                self._chooser.leaving[key] = len(live)
            if live:
                batch.put(KEYS, key, key_layout.value_of(key_layout.ordinal_of(value), live))
            else:
                batch.delete(KEYS, [key])
                batch.delete(ORDER, [key_layout.order_of(key_layout.ordinal_of(value))])
        batch.delete_range(ENDS, b"", ends[-1] + b"\0")
        self._write(batch)

    def choose(self, busy: set[bytes]) -> Victims | None:
        """Choose some of the oldest keys for eviction; return None if there are no more.

        busy: keys with a change that is not put yet; they are not chosen.
        """
        count = min(_STEP, self._bound.keys_per_eviction)
        first = b""
        if self._buckets.expired:
            ordinal = self._buckets.first_ordinal(self._ordinal, with_expired=False)
            first = key_layout.order_of(ordinal)
        victims = self._chooser.choose(
            count,
            first,
            lambda key: key in busy or key_layout.number_of(key) in self._buckets.expired,
        )
        if victims is not None:
            chosen = {key: self._chooser.leaving[key] for key in victims.keys}
            self._uncounted += sum(chosen.values())
            self._buckets.leave(chosen)
        return victims

    def evict(self, victims: Victims) -> None:
        """Remove chosen keys at once; every decided change must have been put."""
        batch = self._database.batch()
        self._remove(batch, victims)
        self._write(batch)

    def _remove(self, batch: RocksBatch, victims: Victims) -> None:
        removed = self._chooser.remove(batch, victims)
        self._held -= sum(removed.values())
        self._uncounted -= sum(removed.values())
        self._buckets.evict(batch, removed)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _big_endian(ordinals: Ints) -> list[bytes]:
    column: list[bytes] = ordinals.astype(">u8").view("V8").tolist()
    return column
