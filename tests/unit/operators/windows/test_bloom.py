"""Bloom filters: never one too few, as many too many as promised, small, mergeable."""

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.windows.bloom import BloomStore
from operators.windows.bloom_filter import MAX_BITS, BloomFilter, BloomSize, false_positive_rate
from operators.windows.bound import Bound

RNG = np.random.default_rng(20_240_607)
KEYS = 200_000


def some_keys(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    return RNG.integers(0, 2**64, (count, 2), dtype=np.uint64)


@pytest.mark.parametrize("error", [0.5, 0.1, 0.01, 0.001])
def test_a_full_filter_has_the_error_it_was_made_for(error: float) -> None:
    made = BloomFilter(BloomSize.of(KEYS, error))
    keys = some_keys(KEYS)
    for part in np.array_split(keys, 80):
        made.add(part)
    assert made.contains(keys).all()
    observed = made.contains(some_keys(1_000_000)).mean()
    assert observed == pytest.approx(error, rel=0.2)
    assert made.false_positive_rate == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("error", [0.001, 0.01])
def test_a_full_store_has_the_error_it_was_made_for_in_at_most_some_bytes(error: float) -> None:
    store = BloomStore(math.inf, Bound(KEYS), error)
    while len(store) + 1000 <= KEYS:
        keys = some_keys(1000)[:, None]
        store.decide(keys, np.zeros(1000), np.arange(1000))
        assert store.repeats(keys, np.zeros(1000)).all()
    observed = store.repeats(some_keys(1_000_000)[:, None], np.zeros(1_000_000)).mean()
    assert observed == pytest.approx(error, rel=0.2)
    assert store.false_positive_rate == pytest.approx(observed, rel=0.2)
    assert store.evicted == 0
    if error == 0.001:
        # With 10 million keys it is 2.4 bytes (bench/state.py).
        assert store.size_bytes() / KEYS <= 2.5


def test_hashes_that_are_not_random_at_all() -> None:
    made = BloomFilter(BloomSize.of(10_000, 0.01))
    keys = np.arange(60_000, dtype=np.uint64).reshape(-1, 2)
    made.add(keys[:10_000])
    assert made.contains(keys[:10_000]).all()
    assert made.contains(keys[10_000:]).mean() < 0.03


@given(numbers=st.sets(st.integers(0, 99)))
def test_small_filters_have_all_their_keys(numbers: set[int]) -> None:
    keys = np.array([(n, n) for n in sorted(numbers)], np.uint64).reshape(-1, 2)
    made = BloomFilter(BloomSize(24, 3))
    made.add(keys)
    assert made.contains(keys).all()
    assert made.count == len(keys)


def test_merging_is_having_added_both() -> None:
    size = BloomSize.of(20_000, 0.01)
    one, two, both = BloomFilter(size), BloomFilter(size), BloomFilter(size)
    keys = some_keys(20_000)
    one.add(keys[:8_000])
    two.add(keys[8_000:])
    both.add(keys)
    one.merge(pickle_of(two))
    assert one.dump()["bytes"] == both.dump()["bytes"]
    assert one.count == pytest.approx(20_000, rel=0.02)
    with pytest.raises(ValueError, match="cannot be merged"):
        one.merge(BloomFilter(BloomSize.of(20_000, 0.02)))


def pickle_of(one: BloomFilter) -> BloomFilter:
    return BloomFilter.load(pickle.loads(pickle.dumps(one.dump())))  # noqa: S301 - our own


@pytest.mark.parametrize(
    "make",
    [
        lambda: BloomSize.of(0, 0.1),
        lambda: BloomSize.of(10, 0.0),
        lambda: BloomSize.of(10, 1.0),
        lambda: BloomSize.of(MAX_BITS, 0.001),
        lambda: false_positive_rate(0, 1, 1),
        lambda: false_positive_rate(8, 0, 1),
        lambda: false_positive_rate(8, 33, 1),
        lambda: false_positive_rate(8, 1, -1),
    ],
)
def test_what_cannot_be(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="Bloom filter"):
        make()


def test_rates_of_the_formula() -> None:
    assert false_positive_rate(8, 1, 0) == 0
    assert false_positive_rate(1000, 1, 1) == pytest.approx(0.001, rel=0.01)
    assert false_positive_rate(14_378, 10, 1000) == pytest.approx(0.001, rel=0.01)


def test_the_oldest_filter_goes_first_whatever_its_window() -> None:
    store = BloomStore(10.0, Bound(64), 1e-6)
    keys = some_keys(200)[:, None]
    for at, window in enumerate([5, 0, 5, 0, 5, 0, 5, 0, 5]):
        rows = slice(8 * at, 8 * at + 8)
        store.decide(keys[rows], np.full(8, window * 10.0), np.arange(8))
    assert (len(store), store.evicted) == (64, 8)
    assert not store.repeats(keys[:8], np.full(8, 50.0)).any()
    assert store.repeats(keys[16:24], np.full(8, 50.0)).all()


def test_many_small_windows_cost_little() -> None:
    store = BloomStore(1.0, Bound(10_000_000))
    times = np.arange(1000.0)
    store.decide(some_keys(1000)[:, None], times, np.arange(1000))
    assert store.size_bytes() < 20e6
    store.expire(999.0)
    assert len(store) == 1
