"""What every store of keys promises when its process is killed between decide and commit.

A store is asked in batches; some of them are committed, one or more at a time, and what
expires does so after each batch, as in a lane.  Then the process is killed: what was
committed is restored as after a real start, and the rest is decided again, cut otherwise.
"""

from __future__ import annotations

import copy
import functools
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.changes import Delta, LaneChange, LaneProgress
from operators.windows.bound import Bound
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from operators.windows.disk.store import DiskStore
from operators.windows.store import KeyStore
from tests.contract.kinds import MANY, SOME, Kind, every_eviction, every_kind, numbered
from tests.contract.model import Model, words
from tests.stores import Asked, hashes_of

LATENESS = 5.0
MEMORY = RocksMemory(8 << 20)


@dataclass
class Killable:
    """A store, its changelog, and its snapshot or disk: what is there after a kill."""

    kind: Kind
    bound: Bound
    folder: Path
    store: KeyStore = field(init=False)
    database: RocksDatabase | None = None
    changelog: list[tuple[Delta, float]] = field(default_factory=list)
    uncommitted: list[tuple[Delta, float]] = field(default_factory=list)
    snapshot: tuple[int, bytes] | None = None

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.start()

    def start(self) -> None:
        """Open the store, and apply what of the changelog it does not have."""
        begin = 0
        if self.kind.layout is None:
            self.store = self.kind.new(self.bound)
            if self.snapshot is not None:
                begin, dumped = self.snapshot
                self.store.load(pickle.loads(dumped))  # noqa: S301 - our own
        else:
            self.database = RocksDatabase(self.folder, MEMORY, {})
            disk = DiskStore(self.kind.layout, self.bound, self.database)
            begin = 0 if disk.progress is None else disk.progress.sequence
            self.store = disk
        for number, (delta, horizon) in enumerate(self.changelog[begin:], begin + 1):
            self.store.apply(delta)
            self._committed(number, delta, horizon)
            self.store.expire(horizon)

    def _committed(self, number: int, delta: Delta, horizon: float) -> None:
        if isinstance(self.store, DiskStore):
            progress = LaneProgress(number, {0: number}, {0: horizon}, horizon)
            self.store.committed(LaneChange(progress, delta, horizon=horizon))

    def decide(self, hashes: Any, times: Any, references: Any, horizon: float) -> list[str]:  # noqa: ANN401
        """Decide a batch, and drop what expired; answer as `Asking` does."""
        matches, delta = self.store.decide(hashes, times, references)
        self.uncommitted.append((delta, horizon))
        self.store.expire(horizon)
        rows = zip(matches.combination.tolist(), matches.originals.tolist(), strict=True)
        return [
            "u" if index < 0 else f"d{original}" + (f".{index}" if index else "")
            for index, original in rows
        ]

    def commit(self, count: int) -> None:
        """Commit the first `count` batches that are not, in one transaction."""
        committed, self.uncommitted = self.uncommitted[:count], self.uncommitted[count:]
        delta, horizon = Delta.concat([delta for delta, _ in committed]), committed[-1][1]
        self.changelog.append((delta, horizon))
        self._committed(len(self.changelog), delta, horizon)

    def keep(self) -> None:
        """Take a snapshot, as at the end of an epoch: all is committed."""
        assert not self.uncommitted
        if self.kind.layout is None:
            self.snapshot = (len(self.changelog), pickle.dumps(self.store.dump()))

    def kill(self) -> None:
        """Leave only what a killed process leaves, and start again."""
        self.end()
        self.uncommitted.clear()
        self.start()

    def end(self) -> None:
        """Close the files; nothing more is written."""
        if self.database is not None:
            self.database.close()


@contextmanager
def killable(kind: Kind, bound: Bound) -> Iterator[Killable]:
    folder = Path(tempfile.mkdtemp(prefix="dedup-store-"))
    opened = Killable(kind, bound, folder / "lane")
    try:
        yield opened
    finally:
        opened.end()
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Step:
    """A batch, how many batches are committed after it, and what happens then.

    events: by how much each is later than the one before it, and its keys.
    """

    events: list[Asked]
    commit: int = 0
    kill: bool = False
    keep: bool = False


STEPS = st.lists(
    st.builds(
        Step,
        st.lists(
            st.tuples(
                # Mostly slow, now and then far ahead, so that windows expire.
                st.sampled_from([-4.0, -1.0, 0.0, 1.0, 2.0, 7.0, 12.0, 60.0]),
                st.sampled_from(["ax", "ay", "bx", "by", "cz"]),
            ),
            min_size=1,
            max_size=5,
        ),
        st.sampled_from([0, 0, 1, 2, 3]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=2,
    max_size=10,
)


@dataclass
class Batch:
    """Records that are not late, the reference of the first one, and the horizon after them."""

    events: list[Asked]
    first: int
    horizon: float

    def and_then(self, later: Batch) -> Batch:
        """Both in one."""
        return Batch(self.events + later.events, self.first, later.horizon)


def batch_of(events: Sequence[Asked], before: Batch, combinations: int) -> Batch:
    """What a lane would ask of its store, after what it asked before."""
    time = largest = before.horizon + LATENESS
    kept: list[Asked] = []
    for later, name in events:
        time += later
        if time >= largest - LATENESS:
            kept.append((time, name[:combinations]))
        largest = max(largest, time)
    return Batch(kept, before.first + len(before.events), largest - LATENESS)


class Killed:
    """Asks a store and the model, and kills the store; compares what they answer."""

    def __init__(self, store: Killable, kind: Kind) -> None:
        self._store, self._kind = store, kind
        self._committed = Model(kind.window)
        self._pending: list[tuple[Batch, Model]] = []

    def decide(self, batch: Batch) -> None:
        if not batch.events:
            return
        model = copy.deepcopy(self._pending[-1][1] if self._pending else self._committed)
        expected = words(self._kind, [model.decide(*event) for event in batch.events])
        self._pending.append((batch, model))
        answers = self._store.decide(
            hashes_of([name for _, name in batch.events]),
            np.array([time for time, _ in batch.events]),
            np.arange(batch.first, batch.first + len(batch.events)),
            batch.horizon,
        )
        assert answers == expected

    def go_on(self, step: Step) -> None:
        """Do what comes after a batch."""
        count = min(step.commit, len(self._pending))
        if count:
            self._store.commit(count)
            self._committed = self._pending[count - 1][1]
            del self._pending[:count]
        if step.keep and not self._pending:
            self._store.keep()
        if step.kill:
            self._store.kill()
            again = [batch for batch, _ in self._pending]
            self._pending.clear()
            if again:
                self.decide(functools.reduce(Batch.and_then, again))


FAR_AHEAD = [
    Step([(0.0, "ax"), (0.0, "by")], commit=1),
    Step([(1.0, "ax"), (0.0, "bx"), (500.0, "cz")], kill=True),
    Step([(-1.0, "ax")], commit=3, kill=True),
]


@every_kind
@every_eviction
@SOME
@given(steps=STEPS, combinations=st.integers(1, 2))
@example(steps=FAR_AHEAD, combinations=1)
@example(steps=FAR_AHEAD, combinations=2)
def test_answers_after_kills_are_those_of_the_model(
    kind: Kind, renew: bool, steps: list[Step], combinations: int
) -> None:
    with killable(kind, Bound(MANY.max_keys, renew)) as store:
        killed = Killed(store, kind)
        batch = Batch([], 0, 100.0)
        for step in steps:
            batch = batch_of(step.events, batch, combinations)
            killed.decide(batch)
            killed.go_on(step)


class Bounded:
    """Asks about numbers, and notes what was answered: nothing may go before it has to."""

    def __init__(self, store: Killable, max_keys: int) -> None:
        self._store, self._max_keys = store, max_keys
        self._bound = store.bound
        self.answered: list[tuple[int, bool]] = []

    def decide(self, numbers: list[int]) -> None:
        references = np.arange(len(self.answered), len(self.answered) + len(numbers))
        words_ = self._store.decide(numbered(numbers), np.ones(len(numbers)), references, -5.0)
        for number, word in zip(numbers, words_, strict=True):
            if word == "u":
                self._may_be_unique(number)
            else:
                self._is_repeat_of(number, word)
            self.answered.append((number, word == "u"))
        self.check_count()

    def check_count(self) -> None:
        waiting = sum(len(delta) for delta, _ in self._store.uncommitted)
        on_disk = self._store.kind.layout is not None
        held = len(self._store.store)
        assert held <= (max(self._max_keys, waiting) if on_disk else self._max_keys)

    def _is_repeat_of(self, number: int, word: str) -> None:
        if self._store.kind.originals:
            assert self.answered[int(word[1:])] == (number, True)
        else:
            assert (number, True) in self.answered

    def _may_be_unique(self, number: int) -> None:
        """Its key is evicted only after so many others that not all could be held."""
        before = [at for at, one in enumerate(self.answered) if one == (number, True)]
        if not before or (self._bound.renew and not self._store.kind.originals):
            return  # a Bloom filter takes a renewed key in once more
        since = {other for other, _ in self.answered[before[-1] + 1 :]} - {number}
        assert len(since) >= self._max_keys - 2 * self._bound.keys_per_eviction - 1


@every_kind
@every_eviction
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_evicted_before_it_has_to_be(kind: Kind, renew: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    max_keys = int(rng.choice([9, 20, 64]))
    universe = int(rng.choice([max_keys // 3, max_keys, 3 * max_keys]))
    with killable(kind, Bound(max_keys, renew)) as store:
        bounded = Bounded(store, max_keys)
        batches: list[list[int]] = []
        for _ in range(40):
            batches.append(rng.integers(0, universe, rng.integers(1, max_keys)).tolist())
            bounded.decide(batches[-1])
            count = int(rng.integers(0, 3))
            if 0 < count <= len(batches):
                store.commit(count)
                del batches[:count]
            if rng.random() < 0.2 and not batches:
                store.keep()
            if rng.random() < 0.3:
                store.kill()
                bounded.check_count()
                undone = sum(map(len, batches))
                del bounded.answered[len(bounded.answered) - undone :]
                for batch in batches:
                    bounded.decide(batch)
