"""What every store of keys promises: dump, load and deltas are the state that decided."""

import pickle
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.changes import Delta
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore
from operators.windows.tumbling import TumblingStore
from tests.stores import Asked, Asking, contents

NewStore: TypeAlias = Callable[[], KeyStore]
STORES: dict[str, NewStore] = {
    "tumbling": partial(TumblingStore, 10.0),
    "forever": partial(TumblingStore, float("inf")),
    "sliding": partial(SlidingStore, 10.0),
    "session": partial(SessionStore, 10.0),
}
every_store = pytest.mark.parametrize("new_store", STORES.values(), ids=STORES)

# Times of a few windows, two keys of two combinations; now and then the horizon moves on.
_BATCH = st.lists(
    st.tuples(st.integers(-5, 60).map(float), st.sampled_from(["ab", "ac", "cb", "cc"])),
    min_size=1,
    max_size=8,
)
_BATCHES = st.lists(st.tuples(_BATCH, st.integers(-50, 30).map(float)), min_size=1, max_size=6)
_Batches: TypeAlias = "list[tuple[list[Asked], float]]"


def _decided(asking: Asking, batches: _Batches) -> list[str]:
    words = []
    for events, horizon in batches:
        words.append(asking(*[event for event in events if event[0] >= horizon] or events))
        asking.store.expire(horizon)
    return words


@every_store
@given(before=_BATCHES, after=_BATCHES)
def test_a_loaded_dump_decides_the_same(
    new_store: NewStore, before: _Batches, after: _Batches
) -> None:
    asking = Asking(new_store())
    _decided(asking, before)
    loaded = Asking(new_store())
    loaded.store.load(pickle.loads(pickle.dumps(asking.store.dump())))  # noqa: S301 - our own
    loaded._next = asking._next
    assert contents(loaded.store) == contents(asking.store)
    assert len(loaded.store) == len(asking.store)
    assert _decided(loaded, after) == _decided(asking, after)
    assert contents(loaded.store) == contents(asking.store)


@every_store
@given(batches=_BATCHES)
def test_applied_deltas_are_the_state_that_decided(new_store: NewStore, batches: _Batches) -> None:
    asking, applied, joined = Asking(new_store()), new_store(), new_store()
    for events, horizon in batches:
        asking(*events)
        applied.apply(asking.deltas[-1])
        assert contents(applied) == contents(asking.store)
        assert len(applied) == len(asking.store)
        asking.store.expire(horizon)
        applied.expire(horizon)
        assert contents(applied) == contents(asking.store)
    unexpired = Asking(new_store())
    for events, _ in batches:
        unexpired(*events)
    joined.apply(Delta.concat(unexpired.deltas))
    assert contents(joined) == contents(unexpired.store)


@every_store
@given(batches=_BATCHES)
def test_a_delta_may_be_applied_again(new_store: NewStore, batches: _Batches) -> None:
    """A store that is ahead (RocksDB) gets its last deltas once more."""
    asking, applied = Asking(new_store()), new_store()
    _decided(asking, [(events, -1e9) for events, _ in batches])
    for delta in [*asking.deltas, asking.deltas[-1]]:
        applied.apply(delta)
    assert contents(applied) == contents(asking.store)
    assert len(applied) == len(asking.store)


@every_store
def test_nothing(new_store: NewStore) -> None:
    store = new_store()
    store.expire(1e9)
    store.apply(Delta.empty())
    assert len(store) == 0
    other = new_store()
    Asking(other)((0, "a"))
    other.load(pickle.loads(pickle.dumps(store.dump())))  # noqa: S301 - our own
    assert len(other) == 0
    assert Asking(other)((0, "a")) == "u"


@every_store
def test_a_dump_is_a_copy(new_store: NewStore) -> None:
    store = new_store()
    asking = Asking(store)
    asking((0, "a"))
    dump = store.dump()
    asking((1, "b"), (2, "a"))
    copy = new_store()
    copy.load(dump)
    assert len(copy) == 1


@pytest.mark.parametrize("window", ["tumbling", "sliding", "session"])
def test_keys_are_expired_exactly_when_no_record_at_the_horizon_can_match(window: str) -> None:
    for newest, horizon in [(5, 9.99), (5, 10), (5, 14.99), (5, 15), (5, 16), (-5, 0), (0, 10)]:
        store = STORES[window]()
        asking = Asking(store)
        asking((newest, "a"))
        assert store.is_expired(newest, horizon) == (asking((horizon, "a")) == "u")
    assert not STORES["forever"]().is_expired(0, 1e300)


@pytest.mark.parametrize("window", ["tumbling", "sliding", "session"])
def test_memory_is_bounded_while_new_keys_come_as_fast_as_they_can(window: str) -> None:
    """As when history is read: large batches, and event time runs."""
    store, count = STORES[window](), 20_000
    rng = np.random.default_rng(3)
    sizes = []
    for second in range(120):
        hashes = rng.integers(0, 2**64, (count, 1, 2), dtype=np.uint64)
        times, references = np.full(count, float(second)), np.arange(count)
        store.decide(hashes, times, references)
        store.expire(second - 1.0)
        sizes.append(store.size_bytes())
    assert sizes[-1] == sizes[40]
