"""Keys in RocksDB: read, written with the progress they belong to, expired, evicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice, takewhile

import msgspec
import numpy as np

from operators.batches import Bools, Floats, Ints
from operators.rocks import BUCKETS, ENDS, KEYS, META, ORDER, RocksBatch, RocksDatabase
from operators.verdicts import Delta
from operators.windows import shelf as lying
from operators.windows.shelf import NUMBER_BYTES, SessionShelf, Shelf
from operators.windows.store import LaneProgress
from operators.windows.table import Bound

# Keys that are evicted, or sessions that expire, in one step: a few milliseconds.  Sessions
# are twice what was written where that is more: else there would be ever more of them.
_STEP = 2048
# Sizes are asked of RocksDB once in so many writes.
_SIZE_EVERY = 64
_PROGRESS = b"progress"
# After all keys that begin with a number.
_LAST = b"\xff" * (lying.KEY_BYTES - NUMBER_BYTES + 1)


@dataclass(slots=True)
class _Stretch:
    """Keys of a stretch of time: how many, the newest, and an ordinal before all of them."""

    count: int
    newest: float
    first: int


class DiskKeys:
    """Keys of one lane.

    Promises: every change of them, the number of keys and the progress are written in
    one batch.  What an `ordinal` is for: the rows of `order` are the keys by it, the
    oldest first, and a key's value has the ordinal under which it stands there.
    """

    def __init__(self, shelf: Shelf, bound: Bound, database: RocksDatabase) -> None:
        self._shelf = shelf
        self._bound = bound
        self._database = database
        self._stretches: dict[float, _Stretch] = {}
        self._held = self._ordinal = self._writes = self._ends_since_looked = 0
        self.size_bytes = database.disk_bytes()
        self.progress: LaneProgress | None = None
        stored = database.get_one(META, _PROGRESS)
        if stored is not None:
            found = msgspec.msgpack.decode(stored)
            self._held, self._ordinal = found["held"], found["ordinal"]
            self.progress = LaneProgress(*found["progress"])
            for key, value in database.items(BUCKETS):
                self._stretches[lying.number_of(key)] = _Stretch(*msgspec.msgpack.decode(value))

    def __len__(self) -> int:
        """Return the number of keys."""
        return self._held

    def _write(self, batch: RocksBatch) -> None:
        kept = {"progress": self.progress, "held": self._held, "ordinal": self._ordinal}
        batch.put(META, _PROGRESS, msgspec.msgpack.encode(kept))
        self._database.write(batch)
        self._writes += 1
        if self._writes % _SIZE_EVERY == 1:
            self.size_bytes = self._database.disk_bytes()

    def find(self, keys: list[bytes]) -> tuple[Delta, Bools]:
        """Return what there is of some keys, and which of that is due to be renewed."""
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

    def put(self, delta: Delta, new: Bools, progress: LaneProgress, *, merging: bool) -> None:
        """Write what a transaction changed.

        new: which rows are keys that are not there.  merging: whether there may be
        others with the same key in the same stretch, so that one has to look.
        """
        batch = self._database.batch()
        if len(delta):
            ordinals = np.arange(self._ordinal, self._ordinal + len(delta))
            self._ordinal += len(delta)
            homes = self._shelf.home(delta.times)
            keys = lying.keys_at(homes, delta.hashes)
            if merging:
                new = self._put_merged(batch, keys, delta, ordinals)
            else:
                batch.put_all(KEYS, keys, lying.values_of(ordinals, delta))
                batch.put_all(ORDER, _big_endian(ordinals), keys)
            if not isinstance(self._shelf, SessionShelf):
                self._count(batch, homes[new], delta.times[new], int(ordinals[0]))
        end = 0 if self.progress is None else self.progress.end
        self.progress = progress._replace(end=max(end, progress.end))
        self._write(batch)

    def _put_merged(
        self, batch: RocksBatch, keys: list[bytes], delta: Delta, ordinals: Ints
    ) -> Bools:
        """Write keys after what they have already; return which rows made more entries."""
        unique = list(dict.fromkeys(keys))
        known = dict(zip(unique, self._database.get(KEYS, unique), strict=True))
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
            merged = self._shelf.merged(entries, entry)
            if value is not None and not self._bound.renew:
                ordinal = lying.ordinal_of(value)  # noqa: PLW2901 - it stays where it is
            elif value is not None and order.pop(lying.ordinal_of(value), None) is None:
                batch.delete(ORDER, [lying.ordinal_of(value).to_bytes(NUMBER_BYTES, "big")])
            if value is None or self._bound.renew:
                order[ordinal] = key
            known[key] = lying.value_of(ordinal, merged)
            more[row] = len(merged) > len(entries)
            held += len(merged) - len(entries)
        batch.put_all(KEYS, unique, [value for value in known.values() if value is not None])
        batch.put_all(ORDER, _big_endian(np.array(list(order), np.int64)), list(order.values()))
        if isinstance(self._shelf, SessionShelf):
            self._held += held
            ends = lying.keys_at(self._shelf.ends(delta.times), delta.hashes)
            batch.put_all(ENDS, ends, [b""] * len(ends))
            self._ends_since_looked += len(ends)
        return more

    def _count(self, batch: RocksBatch, homes: Floats, times: Floats, ordinal: int) -> None:
        """Count new keys of stretches of time."""
        self._held += len(homes)
        for number in np.unique(homes).tolist():
            mine = homes == number
            one = self._stretches.setdefault(number, _Stretch(0, -math.inf, ordinal))
            one.count += int(mine.sum())
            one.newest = max(one.newest, float(times[mine].max()))
            self._put_stretch(batch, number, one)

    def _put_stretch(self, batch: RocksBatch, number: float, one: _Stretch) -> None:
        value = msgspec.msgpack.encode((one.count, one.newest, one.first))
        batch.put(BUCKETS, lying.sortable(np.array([number])), value)

    def expire(self, horizon: float) -> None:
        """Drop what no record with an event time ≥ horizon could match; sessions in steps."""
        if isinstance(self._shelf, SessionShelf):
            self._expire_sessions(self._shelf, horizon)
            return
        gone = []
        for number in sorted(self._stretches):
            if not self._shelf.gone(number, self._stretches[number].newest, horizon):
                break
            gone.append(number)
        if not gone:
            return
        for number in gone:
            self._held -= self._stretches.pop(number).count
        batch = self._database.batch()
        past = lying.sortable(np.array([gone[-1]])) + _LAST
        batch.delete_range(KEYS, b"", past)
        batch.delete_range(BUCKETS, b"", past)
        first = min((one.first for one in self._stretches.values()), default=self._ordinal)
        batch.delete_range(ORDER, b"", first.to_bytes(NUMBER_BYTES, "big"))
        self._write(batch)

    def _expire_sessions(self, shelf: SessionShelf, horizon: float) -> None:
        """Look at some of the keys of which a session has ended."""
        if not math.isfinite(horizon) or not self._held:
            return
        border = lying.sortable(np.array([shelf.ended_before(horizon)]))
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
            live = [one for one in entries if not horizon - one[1] >= shelf.seconds]
            self._held -= len(entries) - len(live)
            if live:
                batch.put(KEYS, key, lying.value_of(lying.ordinal_of(value), live))
            else:
                batch.delete(KEYS, [key])
                batch.delete(ORDER, [lying.ordinal_of(value).to_bytes(NUMBER_BYTES, "big")])
        batch.delete_range(ENDS, b"", ends[-1] + b"\0")
        self._write(batch)

    def evict(self) -> int:
        """Drop some of the oldest keys; return how many."""
        count = min(_STEP, self._bound.evicted_at_once)
        oldest = list(islice(self._database.items(ORDER), count))
        assert oldest, "every key has its place in the order"
        keys = [key for _, key in oldest]
        batch = self._database.batch()
        changed: dict[float, _Stretch] = {}
        evicted = 0
        for (order, key), value in zip(oldest, self._database.get(KEYS, keys), strict=True):
            if value is None or lying.ordinal_of(value) != int.from_bytes(order, "big"):
                continue  # expired with its stretch
            entries = len(lying.entries_of(value))
            batch.delete(KEYS, [key])
            evicted += entries
            number = lying.number_of(key)
            if number in self._stretches:
                changed[number] = self._stretches[number]
                changed[number].count -= entries
        for number, one in changed.items():
            self._put_stretch(batch, number, one)
        batch.delete_range(ORDER, b"", oldest[-1][0] + b"\0")
        self._held -= evicted
        self._write(batch)
        return evicted

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def _big_endian(ordinals: Ints) -> list[bytes]:
    column: list[bytes] = ordinals.astype(">u8").view("V8").tolist()
    return column
