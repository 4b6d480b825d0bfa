"""Keys on disk, for state larger than memory, never ahead of what Kafka has committed.

A store in memory of the same window decides.  It holds keys that are not committed yet,
and for a while keys that were looked up on disk.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.verdicts import Matches
from operators.windows.bound import Bound
from operators.windows.disk.keys import DiskKeys
from operators.windows.disk.layout import NUMBER_BYTES, KeyLayout, keys_at
from operators.windows.disk.rocksdb import RocksDatabase
from operators.windows.disk.victims import Victims
from operators.windows.store import Decision

# Keys in the store in memory before it is emptied: some 15 MB a lane.
_MAX_KEYS_IN_MEMORY = 262_144


@dataclass(slots=True)
class _Uncommitted:
    """A delta that is not on disk yet.

    count: how many more keys are held because of it.  new: which of its rows are new keys.
    must_read_before_write: whether its buckets may have other entries of its keys.
    evicted: keys on disk that were chosen for eviction after it was decided.
    """

    delta: Delta
    count: int
    new: Bools
    must_read_before_write: bool
    evicted: Victims = field(default_factory=Victims)


class DiskStore:
    """Keys of one lane on disk.

    Promises: every key on disk is committed in Kafka, and stored with the progress it
    belongs to; a restart goes on from there.  Keys that expired or were evicted are not
    held any more, but they leave the disk with the transaction in which that happened.
    At most `max_keys` are held, or the keys that wait for their commit if those are more.
    Another thread may call `committed` and `marked`; only the deciding thread calls the
    rest.
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
        return len(self._disk) + sum(change.count for change in self._uncommitted)

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
            self._note(_Uncommitted(delta, count, new, self._memory.crowded or len(renewed) > 0))
        return Decision(matches, delta)

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        self._make_room_in_memory()
        self._look_up(hashes, times)
        return self._memory.repeats(hashes, times)

    def _note(self, change: _Uncommitted) -> None:
        self._uncommitted.append(change)
        self._make_room()
        change.evicted, self._victims = self._victims, Victims()

    def apply(self, delta: Delta) -> None:
        """Repeat the change of an earlier `decide`; it waits for `committed`, too."""
        if not len(delta):
            return
        self._make_room_in_memory()
        self._look_up(delta.hashes[:, None], delta.times)
        before = len(self._memory)
        new = ~self._memory.holds(delta)
        # A key that is held may have been evicted, and added again with another record.
        self._outdated |= not new.all()
        self._memory.apply(delta)
        must_read_before_write = (
            self._layout.must_read_before_write or self._bound.renew or not new.all()
        )
        count = len(self._memory) - before
        self._note(_Uncommitted(delta, count, new, must_read_before_write))

    def _make_room_in_memory(self) -> None:
        """Write committed changes, and empty the store in memory when it is full."""
        self._write_committed()
        self._make_room()
        if len(self._memory) > _MAX_KEYS_IN_MEMORY or self._outdated:
            self._reset_memory()

    def _make_room(self) -> None:
        """Evict the oldest keys if more than `max_keys` are held."""
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
        """Return keys that may be on disk and have a change that is not there yet."""
        busy: set[bytes] = set()
        for change in self._uncommitted:
            if change.must_read_before_write:
                rows = slice(None) if self._layout.must_read_before_write else ~change.new
                buckets = self._layout.bucket_of(change.delta.times[rows])
                busy.update(keys_at(buckets, change.delta.hashes[rows]))
        return busy

    def _look_up(self, hashes: Hashes, times: Floats) -> Delta:
        """Load keys that records may match into memory; return those that a match renews."""
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
        return self._load(list(dict.fromkeys(keys)))

    def _load(self, keys: list[bytes]) -> Delta:
        if self._layout.entries_grow:
            # Entries in memory may have grown since they were loaded.
            hashes = np.frombuffer(b"".join(key[NUMBER_BYTES:] for key in keys), np.uint64)
            known = self._memory.known(hashes.reshape(-1, 2)).tolist()
            keys = [key for key, is_known in zip(keys, known, strict=True) if not is_known]
        delta, due = self._disk.find(keys)
        self._memory.apply(delta)
        if self._layout.entries_grow:
            return Delta.empty()
        return Delta(delta.hashes[due], delta.times[due], delta.references[due])

    def _reset_memory(self) -> None:
        """Empty the store in memory, except for changes that are not on disk yet."""
        self._memory, self._outdated = self._layout.memory_store(), False
        if self._layout.entries_grow:
            # A change can merge entries, so all entries of its keys must be in memory.
            for change in self._uncommitted:
                buckets = self._layout.bucket_of(change.delta.times)
                self._load(list(dict.fromkeys(keys_at(buckets, change.delta.hashes))))
        for change in self._uncommitted:
            self._memory.apply(change.delta)

    def committed(self, change: LaneChange) -> None:
        """Note that a decided or applied change is committed; called in their order."""
        self._waiting.append(change)

    def marked(self, end: int) -> None:
        """Note where the changelog ended after the last commit."""
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
        """Drop keys that no record with an event time ≥ horizon can match."""
        self._write_committed()
        self._memory.expire(horizon)
        self._disk.expire(horizon)
        self._make_room()

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether keys with event times up to `newest` are of no more use at a horizon."""
        return self._memory.is_expired(newest, horizon)

    def dump(self) -> dict[str, Any]:
        """Never called: the keys are on disk and in the changelog."""
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        """Never called, either."""
        raise NotImplementedError

    def close(self) -> None:
        """Write committed changes, and close the database."""
        self._write_committed()
        self._disk.close()


def _matched(due: Delta, hashes: Hashes, matches: Matches) -> Delta:
    """Return the keys of `due` that a record matched; the others were only looked up."""
    if not len(due):
        return due
    rows = np.flatnonzero(matches.combination >= 0)
    matched = set(_rows_of(hashes[rows, matches.combination[rows]], matches.originals[rows]))
    kept = np.array([row in matched for row in _rows_of(due.hashes, due.references)], np.bool_)
    return Delta(due.hashes[kept], due.times[kept], due.references[kept])


def _rows_of(hashes: Hashes, references: Ints) -> list[bytes]:
    table = np.empty((len(hashes), 3), np.uint64)
    table[:, 0] = references.view(np.uint64)
    table[:, 1:] = hashes
    column: list[bytes] = table.view("V24").reshape(-1).tolist()
    return column
