"""Keys on disk, for state larger than memory, never ahead of what Kafka has committed.

What is decided waits in memory until its transaction is committed, and what is looked
up is held there for a while: deciding is left to the same window's store in memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.verdicts import Matches
from operators.windows.disk.keys import DiskKeys
from operators.windows.disk.layout import NUMBER_BYTES, KeyLayout, keys_at
from operators.windows.disk.rocksdb import RocksDatabase
from operators.windows.disk.victims import Victims
from operators.windows.key_table.table import Bound
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import Decision
from operators.windows.tumbling import TumblingStore

# Keys in memory in front of the disk before they are let go: some 15 MB a lane.
_MAX_KEYS_IN_MEMORY = 262_144


@dataclass(slots=True)
class _Uncommitted:
    """A delta that is not on disk yet.

    count: keys held more by it.  new: which of its rows are new keys.  merging:
    whether there may be others with its keys in the same stretch of time.  evicted:
    keys on disk that are not held any more since it was added.
    """

    delta: Delta
    count: int
    new: Bools
    must_read_before_write: bool
    evicted: Victims = field(default_factory=Victims)


class DiskStore:
    """Keys of one lane on disk.

    Promises: what is on disk has been committed in Kafka, with the progress that goes
    with it; a restart goes on from there.  What expires or is evicted is not held any
    more, but leaves the disk only with the transaction it expired or was evicted in.
    `committed` and `marked` may be called by another thread: all else is the deciding
    thread's.  At most `max_keys` are held, or what waits for its commit where that is
    more.
    """

    def __init__(self, layout: KeyLayout, bound: Bound, database: RocksDatabase) -> None:
        self._layout = layout
        self._bound = bound
        self._disk = DiskKeys(layout, bound, database)
        self._memory = layout.memory_store()
        self._uncommitted: deque[_Uncommitted] = deque()
        self._waiting: deque[LaneChange | int] = deque()
        self._victims = Victims()
        self._outdated = False
        self.evicted = 0
        self._make_room()  # for a smaller bound than before

    def __len__(self) -> int:
        """Return the number of keys held."""
        return len(self._disk) + sum(added.count for added in self._uncommitted)

    @property
    def progress(self) -> LaneProgress | None:
        """How far what is on disk goes, None if nothing is."""
        return self._disk.progress

    @property
    def false_positive_rate(self) -> float:
        """Return 0: keys are held exactly."""
        return 0.0

    def size_bytes(self) -> int:
        """Return about how much disk the keys take."""
        return self._disk.size_bytes

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        self._bound.check(hashes.shape[1])
        self._make_room_in_memory()
        due = self._look_up(hashes, times)
        before = len(self._memory)
        matches, added = self._memory.decide(hashes, times, references)
        count = len(self._memory) - before
        renewed = _matched(due, hashes, matches)
        new = np.arange(len(added) + len(renewed)) < len(added)
        delta = Delta.concat([added, renewed])
        if len(delta):
            self._note(_Uncommitted(delta, count, new, self._must_read_before_write(len(renewed))))
        return Decision(matches, delta)

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        self._make_room_in_memory()
        self._look_up(hashes, times)
        return self._memory.repeats(hashes, times)

    def _note(self, added: _Uncommitted) -> None:
        self._uncommitted.append(added)
        self._make_room()
        added.evicted, self._victims = self._victims, Victims()

    def _must_read_before_write(self, renewed: int) -> bool:
        if isinstance(self._memory, SlidingStore):
            return self._memory.crowded or renewed > 0
        return self._layout.must_read_before_write or renewed > 0

    def apply(self, delta: Delta) -> None:
        """Add and renew what an earlier `decide` did; it waits for `committed` all the same."""
        if not len(delta):
            return
        self._make_room_in_memory()
        self._look_up(delta.hashes[:, None], delta.times)
        front = self._memory
        before = len(front)
        if isinstance(front, TumblingStore | SlidingStore):
            new = ~front.holds(delta)
            # Some may have been evicted, and added again with another record.
            self._outdated |= not new.all()
        else:
            new = np.ones(len(delta), np.bool_)
        front.apply(delta)
        must_read_before_write = (
            self._layout.must_read_before_write or self._bound.renew or not new.all()
        )
        self._note(_Uncommitted(delta, len(front) - before, new, must_read_before_write))

    def _make_room_in_memory(self) -> None:
        """Write what is committed, and see to it that memory stays bounded."""
        self._write_committed()
        self._make_room()
        if len(self._memory) > _MAX_KEYS_IN_MEMORY or self._outdated:
            self._reset_memory()

    def _make_room(self) -> None:
        """Evict the oldest keys where more than `max_keys` are held."""
        before = len(self)
        if before <= self._bound.max_keys:
            return
        busy = self._busy()
        while len(self) > self._bound.max_keys:
            victims = self._disk.choose(busy)
            if victims is None:
                break
            self._victims.add(victims)
            if not self._uncommitted:
                self._disk.evict(self._victims)
                self._victims = Victims()
        evicted = before - len(self)
        if evicted:
            self.evicted += evicted
            self._reset_memory()

    def _busy(self) -> set[bytes]:
        """Keys that may be on disk, and of which a change is not."""
        busy: set[bytes] = set()
        for added in self._uncommitted:
            if added.must_read_before_write:
                rows = slice(None) if self._layout.must_read_before_write else ~added.new
                homes = self._layout.bucket_of(added.delta.times[rows])
                busy.update(keys_at(homes, added.delta.hashes[rows]))
        return busy

    def _look_up(self, hashes: Hashes, times: Floats) -> Delta:
        """Take keys that records may match into memory; return those it is time to renew."""
        combinations = hashes.shape[1]
        if not len(self._disk) or not len(times):
            return Delta.empty()
        if self._layout.skip_lookup_if_in_memory and combinations == 1:
            unknown = np.flatnonzero(~self._memory.repeats(hashes, times))
            hashes, times = hashes[unknown], times[unknown]
        flat = hashes.reshape(-1, 2)
        keys = [
            key
            for numbers in self._layout.buckets_to_search(times)
            for key in keys_at(np.repeat(numbers, combinations), flat)
        ]
        return self._take(list(dict.fromkeys(keys)))

    def _take(self, keys: list[bytes]) -> Delta:
        front = self._memory
        if isinstance(front, SessionStore):
            # What is in memory may have gone on since.
            hashes = np.frombuffer(b"".join(key[NUMBER_BYTES:] for key in keys), np.uint64)
            known = front.known(hashes.reshape(-1, 2)).tolist()
            keys = [key for key, there in zip(keys, known, strict=True) if not there]
            front.apply(self._disk.find(keys)[0])
            return Delta.empty()
        delta, due = self._disk.find(keys)
        delta.firsts = None
        front.apply(delta)
        return Delta(delta.hashes[due], delta.times[due], delta.references[due])

    def _reset_memory(self) -> None:
        """Let go of what is in memory, but for what is not on disk."""
        self._memory, self._outdated = self._layout.memory_store(), False
        if isinstance(self._memory, SessionStore):
            # A session that was changed is one of all of its key.
            for added in self._uncommitted:
                homes = self._layout.bucket_of(added.delta.times)
                self._take(list(dict.fromkeys(keys_at(homes, added.delta.hashes))))
        for added in self._uncommitted:
            self._memory.apply(added.delta)

    def committed(self, change: LaneChange) -> None:
        """Take note that what was decided or applied is committed, in order."""
        self._waiting.append(change)

    def marked(self, end: int) -> None:
        """Take note of where the changelog ended, after what was committed last."""
        self._waiting.append(end)

    def _write_committed(self) -> None:
        while self._waiting:
            change = self._waiting.popleft()
            if isinstance(change, int):
                self._disk.mark(change)
                continue
            parts: list[_Uncommitted] = []
            left = len(change.delta)
            while left > 0:
                parts.append(self._uncommitted.popleft())
                left -= len(parts[-1].delta)
            assert left == 0, "a transaction has whole deltas, in their order"
            evicted = Victims()
            for part in parts:
                evicted.add(part.evicted)
            self._disk.put(
                change.delta,
                np.concatenate([np.zeros(0, np.bool_), *(part.new for part in parts)]),
                change.progress,
                evicted,
                must_read_before_write=any(part.must_read_before_write for part in parts),
            )
            self._disk.remove_expired(change.horizon)

    def expire(self, horizon: float) -> None:
        """Drop what no record with an event time ≥ horizon could match."""
        self._write_committed()
        self._memory.expire(horizon)
        self._disk.expire(horizon)
        self._make_room()

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether keys with event times up to `newest` are of no more use at a horizon."""
        return self._memory.is_expired(newest, horizon)

    def dump(self) -> dict[str, Any]:
        """Never asked for: the keys are on disk and in the changelog."""
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        """Never asked for either."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is committed, and let go of the database."""
        self._write_committed()
        self._disk.close()


def _matched(due: Delta, hashes: Hashes, matches: Matches) -> Delta:
    """Those of some keys that records matched, and not only asked for."""
    if not len(due):
        return due
    rows = np.flatnonzero(matches.combination >= 0)
    matched = _rows_of(hashes[rows, matches.combination[rows]], matches.originals[rows])
    asked = _rows_of(due.hashes, due.references)
    found = set(matched)
    kept = np.array([row in found for row in asked], np.bool_)
    return Delta(due.hashes[kept], due.times[kept], due.references[kept])


def _rows_of(hashes: Hashes, references: Ints) -> list[bytes]:
    table = np.empty((len(hashes), 3), np.uint64)
    table[:, 0] = references.view(np.uint64)
    table[:, 1:] = hashes
    column: list[bytes] = table.view("V24").reshape(-1).tolist()
    return column
