"""What every store of keys promises, against a model that is slow and obvious.

A store is asked in batches however they are cut; between batches it may be dumped and
loaded, or its state made anew from deltas: the answers stay those of the model.
"""

from __future__ import annotations

import math
import pickle
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.arrays import Floats, Hashes, Ints
from operators.windows.bloom import BloomStore
from operators.windows.disk.layout import KeyLayout, SessionLayout, SlidingLayout
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from operators.windows.disk.store import DiskStore
from operators.windows.key_table.table import Bound
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import Decision, KeyStore
from operators.windows.tumbling import TumblingStore
from tests.stores import Asked, Asking, hashes_of

SECONDS = 10.0
# So seldom wrong that a test never sees it.
ERROR = 1e-9
MANY = Bound(1_000_000)

NewStore: TypeAlias = Callable[[Bound], KeyStore]


@dataclass(frozen=True)
class Kind:
    """A store, its window, whether it can name the original, and where it lies on disk."""

    window: str
    new: NewStore
    originals: bool = True
    layout: KeyLayout | None = None


class Committing:
    """A store on disk, of which all that is decided or applied is committed at once."""

    def __init__(self, layout: KeyLayout, bound: Bound, folder: Path | None = None) -> None:
        self._made = (layout, bound)
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="dedup-store-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._folder = folder
        database = RocksDatabase(folder / "lane-000", RocksMemory(8 << 20), {"lane": 0})
        # Called before the one above: RocksDB crashes where its files go while it writes.
        weakref.finalize(self, database.close)
        self.store = DiskStore(layout, bound, database)
        self._number = 0 if self.store.progress is None else self.store.progress.sequence
        self._opened_before: Committing | None = None  # which deletes the folder in the end
        self._horizon = -math.inf
        self.repeats, self.size_bytes = self.store.repeats, self.store.size_bytes
        self.is_expired = self.store.is_expired

    def __len__(self) -> int:
        return len(self.store)

    @property
    def evicted(self) -> int:
        return self.store.evicted

    @property
    def false_positive_rate(self) -> float:
        return self.store.false_positive_rate

    def _commit(self, delta: Delta) -> None:
        self._number += 1
        progress = LaneProgress(self._number, {0: self._number}, {0: 1.0}, 0.5)
        self.store.committed(LaneChange(progress, delta, horizon=self._horizon))

    def expire(self, horizon: float) -> None:
        self._horizon = horizon
        self._commit(Delta.empty())
        self.store.expire(horizon)

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        decision = self.store.decide(hashes, times, references)
        self._commit(decision.delta)
        return decision

    def apply(self, delta: Delta) -> None:
        self.store.apply(delta)
        self._commit(delta)

    def opened_again(self) -> Committing:
        """Close the database, and open it as after a restart."""
        self.store.close()
        again = Committing(*self._made, self._folder)
        again._opened_before = self
        assert again._number == self._number
        return again

    def dump(self) -> dict[str, Any]:
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        raise NotImplementedError


def on_disk(window: str, layout: KeyLayout) -> Kind:
    return Kind(window, lambda bound: Committing(layout, bound), layout=layout)


KINDS = {
    "tumbling": Kind("tumbling", lambda bound: TumblingStore(SECONDS, bound)),
    "forever": Kind("forever", lambda bound: TumblingStore(math.inf, bound)),
    "sliding": Kind("sliding", lambda bound: SlidingStore(SECONDS, bound)),
    "session": Kind("session", lambda bound: SessionStore(SECONDS, bound)),
    "disk": on_disk("tumbling", KeyLayout(SECONDS)),
    "disk-forever": on_disk("forever", KeyLayout(math.inf)),
    "disk-sliding": on_disk("sliding", SlidingLayout(SECONDS)),
    "disk-session": on_disk("session", SessionLayout(SECONDS)),
    "bloom": Kind("tumbling", lambda bound: BloomStore(SECONDS, bound, ERROR), originals=False),
    "bloom-forever": Kind(
        "forever", lambda bound: BloomStore(math.inf, bound, ERROR), originals=False
    ),
}
IN_MEMORY = {name: kind for name, kind in KINDS.items() if not name.startswith("disk")}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
in_memory = pytest.mark.parametrize("kind", IN_MEMORY.values(), ids=IN_MEMORY)
every_eviction = pytest.mark.parametrize("renew", [False, True], ids=["oldest", "lru"])
SOME = hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class Model:
    """Every unique record and every session in a list; looks at all of them each time."""

    def __init__(self, window: str) -> None:
        self.window = window
        self.unique: list[tuple[float, str]] = []
        # Of a combination and key: first and last event time, and the record it began with.
        self.sessions: list[tuple[int, str, float, float, int]] = []

    def decide(self, time: float, name: str) -> tuple[int, int] | None:
        """Combination and original of a duplicate, None for a unique record."""
        found = next(filter(None, (self._match(i, key, time) for i, key in enumerate(name))), None)
        if found is None:
            row = len(self.unique)
            self.sessions += [(i, key, time, time, row) for i, key in enumerate(name)]
        self.unique.append((time, name if found is None else ""))
        return found

    def _match(self, index: int, key: str, time: float) -> tuple[int, int] | None:
        if self.window == "session":
            return self._in_session(index, key, time)
        for row, (seen, name) in enumerate(self.unique):
            if name and name[index] == key and self._near(time, seen):
                return index, row
        return None

    def _near(self, time: float, seen: float) -> bool:
        if self.window == "tumbling":
            return math.floor(time / SECONDS) == math.floor(seen / SECONDS)
        return self.window == "forever" or abs(time - seen) < SECONDS

    def _in_session(self, index: int, key: str, time: float) -> tuple[int, int] | None:
        touched = [
            one
            for one in self.sessions
            if one[:2] == (index, key) and one[2] - time < SECONDS and time - one[3] < SECONDS
        ]
        if not touched:
            return None
        first = min(time, *(one[2] for one in touched))
        last = max(time, *(one[3] for one in touched))
        row = min(one[4] for one in touched)
        self.sessions = [one for one in self.sessions if one not in touched]
        self.sessions.append((index, key, first, last, row))
        return index, row


def words(kind: Kind, answers: Sequence[tuple[int, int] | None]) -> list[str]:
    """The model's answers as `Asking` says them."""
    return [
        "u"
        if answer is None
        else f"d{answer[1] if kind.originals else -1}" + (f".{answer[0]}" if answer[0] else "")
        for answer in answers
    ]


class AskingAny(Asking):
    """Asks a store that may not know the originals."""

    def __call__(self, *events: Asked) -> str:
        times = np.array([float(time) for time, _ in events])
        hashes = hashes_of([name for _, name in events])
        references = np.arange(self._next, self._next + len(events))
        self._next += len(events)
        matches, delta = self.store.decide(hashes, times, references)
        self.deltas.append(delta)
        return " ".join(
            "u" if index < 0 else f"d{original}" + (f".{index}" if index else "")
            for index, original in zip(
                matches.combination.tolist(), matches.originals.tolist(), strict=True
            )
        )


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 45).map(float),
        st.sampled_from(["ax", "ay", "bx", "by", "cz"]),
    ),
    max_size=30,
)
SINGLE = EVENTS.map(lambda events: [(time, name[0]) for time, name in events])


def cut(events: list[Asked], cuts: set[int]) -> Iterator[list[Asked]]:
    borders = [0, *sorted(cut for cut in cuts if 0 < cut < len(events)), len(events)]
    for begin, end in pairwise(borders):
        if begin < end:
            yield events[begin:end]


def copied(store: KeyStore, new: KeyStore) -> KeyStore:
    if isinstance(store, Committing):
        return store.opened_again()
    new.load(pickle.loads(pickle.dumps(store.dump())))  # noqa: S301 - our own
    return new


@every_kind
@every_eviction
@SOME
@given(events=EVENTS | SINGLE, cuts=st.sets(st.integers(1, 29)), again=st.integers(0, 2))
def test_answers_are_those_of_the_model(
    kind: Kind, renew: bool, events: list[Asked], cuts: set[int], again: int
) -> None:
    """again: 0 the store goes on, 1 it is loaded from its dump, 2 made anew from its deltas."""
    bound = Bound(MANY.max_keys, renew)
    model = Model(kind.window)
    asking = AskingAny(kind.new(bound))
    for batch in cut(events, cuts):
        answers = [model.decide(*event) for event in batch]
        assert asking(*batch).split() == words(kind, answers)
        held = len(asking.store)
        if again == 1:
            asking.store = copied(asking.store, kind.new(bound))
        elif again == 2:
            asking.store = kind.new(bound)
            for delta in asking.deltas:
                asking.store.apply(delta)
        assert len(asking.store) == held


@every_kind
@SOME
@given(events=EVENTS, horizons=st.lists(st.integers(0, 45), min_size=1, max_size=5))
def test_what_expires_is_not_missed(kind: Kind, events: list[Asked], horizons: list[int]) -> None:
    """Records before the horizon are late, and no store is asked about them."""
    model, asking = Model(kind.window), AskingAny(kind.new(MANY))
    kept = AskingAny(kind.new(MANY))
    for horizon in sorted(horizons):
        batch = [event for event in events if event[0] >= horizon]
        if not batch:
            continue
        answers = [model.decide(*event) for event in batch]
        assert asking(*batch).split() == words(kind, answers)
        kept(*batch)
        asking.store.expire(float(horizon))
        assert len(asking.store) <= len(kept.store)
    asking.store.expire(1e6)
    assert len(asking.store) == (len(kept.store) if kind.window == "forever" else 0)


@every_kind
def test_big_batches_with_many_repeats(kind: Kind) -> None:
    rng = np.random.default_rng(5)
    store = kind.new(MANY)
    seen: set[int] = set()
    known = rng.integers(0, 2**64, (20_000, 2), dtype=np.uint64)
    for _ in range(10):
        rows = rng.integers(0, len(known), 4000)
        expected = []
        for row in rows.tolist():
            expected.append(row in seen)
            seen.add(row)
        hashes = known[rows][:, None]
        answers = store.decide(hashes, np.full(4000, 1.0), np.arange(4000)).matches
        assert ((answers.combination == 0) == expected).all()
        assert ((answers.combination == -1) != expected).all()
    assert len(store) == len(seen)
    assert store.repeats(known[sorted(seen)][:, None], np.full(len(seen), 2.0)).all()
    assert store.size_bytes() > 0


def numbered(numbers: Sequence[int]) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint64]]:
    """Keys that look random, by number."""
    low = np.asarray(numbers, np.uint64)
    words = np.stack([low * np.uint64(0x9E3779B97F4A7C15), low * np.uint64(0xC2B2AE3D27D4EB4F)])
    return np.ascontiguousarray((words ^ (words >> np.uint64(29))).T)[:, None]


def feed(store: KeyStore, numbers: Sequence[int], time: float = 1.0) -> tuple[list[int], Delta]:
    """Ask about numbered keys; return those that are repeats, and the delta."""
    hashes, times = numbered(numbers), np.full(len(numbers), time)
    references = np.asarray(numbers, np.int64)
    matches, delta = store.decide(hashes, times, references)
    repeats = [n for n, c in zip(numbers, matches.combination.tolist(), strict=True) if c >= 0]
    return repeats, delta


def held_of(store: KeyStore, numbers: Sequence[int]) -> list[int]:
    repeats = store.repeats(numbered(numbers), np.full(len(numbers), 1.0))
    return np.asarray(numbers)[repeats].tolist()  # type: ignore[no-any-return]


@every_kind
@every_eviction
@pytest.mark.parametrize("max_keys", [1, 7, 1000])
@pytest.mark.parametrize("batch", [1, 130])
def test_never_more_than_the_bound_and_the_oldest_go_first(
    kind: Kind, renew: bool, max_keys: int, batch: int
) -> None:
    if max_keys < batch and kind not in IN_MEMORY.values():
        pytest.skip("what waits for its commit comes on top")
    store = kind.new(Bound(max_keys, renew))
    everything = list(range(4 * max_keys + 200))
    for begin in range(0, len(everything), batch):
        feed(store, everything[begin : begin + batch])
        assert len(store) <= max_keys
    assert store.evicted == len(everything) - len(store)
    kept = held_of(store, everything)
    assert kept == everything[-len(store) :]
    assert len(store) >= max_keys * (1 - 1 / 6)


@every_kind
@every_eviction
@pytest.mark.parametrize("applied", [False, True], ids=["decided", "applied"])
def test_nothing_is_evicted_for_keys_that_are_held(kind: Kind, renew: bool, applied: bool) -> None:
    store = kind.new(Bound(1000, renew))
    _, delta = feed(store, range(100))
    if applied:
        for _ in range(20):
            store.apply(delta)
    else:
        again = [*range(100)] * 20
        assert feed(store, again)[0] == again
    assert held_of(store, range(100)) == [*range(100)]
    assert (store.evicted, len(store)) == (0, 100)


@in_memory
@every_eviction
@SOME
@given(
    numbers=st.lists(st.integers(0, 40), max_size=60),
    cuts=st.sets(st.integers(1, 59)),
    max_keys=st.sampled_from([1, 3, 16, 20, 48]),
)
@example(numbers=[1, 0, 1, 2, 3], cuts={1}, max_keys=3)
def test_the_cut_into_batches_does_not_change_what_is_evicted(
    kind: Kind, renew: bool, numbers: list[int], cuts: set[int], max_keys: int
) -> None:
    whole, parts, applied = (kind.new(Bound(max_keys, renew)) for _ in range(3))
    repeats: list[int] = []
    for batch in cut([(0.0, str(n)) for n in numbers], cuts):
        found, delta = feed(parts, [int(name) for _, name in batch])
        repeats += found
        applied.apply(delta)
        assert held_of(applied, range(41)) == held_of(parts, range(41))
    if numbers:
        assert feed(whole, numbers)[0] == repeats
    assert held_of(whole, range(41)) == held_of(parts, range(41))
    assert whole.evicted == parts.evicted


@every_kind
def test_a_key_in_use_stays_with_lru_and_goes_with_oldest(kind: Kind) -> None:
    stays: dict[bool, bool] = {}
    for renew in (False, True):
        store, applied = (kind.new(Bound(640, renew)) for _ in range(2))
        for begin in range(0, 5000, 20):
            _, delta = feed(store, [1_000_000, *range(begin, begin + 20)])
            applied.apply(delta)
        assert held_of(store, [1_000_000]) == held_of(applied, [1_000_000])
        fresh = kind.new(Bound(640, renew))
        unique = feed(fresh, [1_000_000])[1]
        assert len(unique) == 1
        # With `oldest` it comes back as unique now and then, and may be held just now.
        stays[renew] = 1_000_000 in feed(store, [1_000_000])[0]
        before = store.evicted
        if renew:
            for begin in range(5000, 10_000, 20):
                assert feed(store, [1_000_000, *range(begin, begin + 20)])[0] == [1_000_000]
            assert store.evicted > before
    assert stays[True]


@in_memory
def test_memory_is_flat_on_an_endless_stream_of_new_keys(kind: Kind) -> None:
    store = kind.new(Bound(4096))
    sizes = []
    for begin in range(0, 60_000, 500):
        feed(store, range(begin, begin + 500))
        sizes.append(store.size_bytes())
    assert max(sizes[len(sizes) // 2 :]) <= 1.15 * max(sizes[: len(sizes) // 2])


@in_memory
def test_windows_that_come_and_go_leave_no_memory(kind: Kind) -> None:
    if kind.window == "forever":
        pytest.skip("nothing expires")
    store = kind.new(MANY)
    sizes = []
    for window in range(60):
        feed(store, range(500), time=window * 100.0)
        store.expire(window * 100.0 - 50)
        sizes.append(store.size_bytes())
        assert len(store) == 500
    assert max(sizes[30:]) <= max(sizes[:30])


@in_memory
def test_memory_goes_by_keys_and_not_by_windows(kind: Kind) -> None:
    store = kind.new(MANY)
    for begin in range(0, 10_000, 100):
        numbers = np.arange(begin, begin + 100)
        store.decide(
            numbered(numbers.tolist()), np.multiply(numbers, SECONDS, dtype=np.float64), numbers
        )
    assert len(store) == 10_000
    assert store.size_bytes() < 1_500_000


@every_kind
def test_more_keys_than_a_record_may_have(kind: Kind) -> None:
    store = kind.new(Bound(1))
    with pytest.raises(ValueError, match="max_keys is 1, but a record has 2 keys"):
        store.decide(hashes_of(["ab"]), np.zeros(1), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="max_keys is 0"):
        kind.new(Bound(0))


@every_kind
def test_no_records_and_no_keys(kind: Kind) -> None:
    store = kind.new(MANY)
    matches, delta = store.decide(hashes_of(["ab"])[:0], np.zeros(0), np.zeros(0, np.int64))
    assert len(matches.combination) == len(delta) == 0
    store.apply(Delta.empty())
    store.expire(0.0)
    assert (len(store), store.evicted) == (0, 0)
    assert copied(store, kind.new(MANY)).false_positive_rate == 0


@every_kind
def test_a_record_may_have_one_key_twice(kind: Kind) -> None:
    """Hashes of two combinations never agree, but a store need not know."""
    store = kind.new(MANY)
    twice = np.repeat(numbered([1]), 2, axis=1)
    first = store.decide(twice, np.zeros(1), np.zeros(1, np.int64)).matches
    both = store.decide(np.repeat(twice, 2, axis=0), np.zeros(2), np.arange(1, 3)).matches
    assert first.combination.tolist() == [-1]
    assert both.combination.tolist() == [0, 0]
