"""What every store of keys promises, against a model that is slow and obvious.

A store is asked in batches however they are cut; between batches it may be dumped and
loaded, or its state rebuilt from deltas: the answers stay those of the model.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.changes import Delta
from operators.windows.bound import Bound
from operators.windows.store import KeyStore
from tests.contract.kinds import (
    IN_MEMORY,
    MANY,
    SECONDS,
    SOME,
    Committing,
    Kind,
    every_eviction,
    every_kind,
    feed,
    held_of,
    in_memory,
    numbered,
)
from tests.contract.model import Model, words
from tests.stores import Asked, Asking, hashes_of


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
    """again: 0 the store goes on, 1 it is loaded from its dump, 2 it is rebuilt from its deltas."""
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
