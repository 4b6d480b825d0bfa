"""Sliding windows: borders, both ways in time, expiry."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.windows.bound import Bound
from operators.windows.sliding import SlidingStore
from tests.stores import Asking, contents, times


@pytest.mark.parametrize(
    "seconds, at, expected",
    [
        (10, [0, 9.99], "u d0"),
        (10, [0, 10], "u u"),
        (10, [0, -9.99], "u d0"),  # an earlier-stamped one that comes later
        (10, [0, -10], "u u"),
        (10, [9, 10, 19, 18.99], "u d0 u d0"),
        (10, [9, 18.99, 19], "u d0 u"),  # duplicates do not extend it
        (10, [0, 12, 6], "u u d0"),  # both match
        (10, [12, 0, 6], "u u d0"),
        (10, [0, 10, 5, -5, 15], "u u d0 d0 d1"),
        (10, [0, 19.99, 10], "u u d1"),
        (10, [-0.0, 0.0], "u d0"),
        (0.5, [0, 0.5, 0.25], "u u d0"),
        (1e-5, [1e305, 1e305, 1.7e308, -1e305, -1.7e308], "u d0 u u u"),  # t / W overflows
        (1e308, [-1e308, 1e308, 0, 1.7e308], "u u u d1"),  # and so does the difference
        (5e-324, [0.0, 5e-324, 0.0, 1.0, 1.0], "u u d0 u d3"),
        (1, [2.0**53, 2.0**53 + 2, 2.0**53, 2.0**60, 2.0**60], "u u d0 u d3"),
    ],
)
def test_borders(seconds: float, at: list[float], expected: str) -> None:
    assert Asking(SlidingStore(seconds))(*times(*at)) == expected
    asking = Asking(SlidingStore(seconds))  # and one by one
    assert " ".join(asking((time, "a")) for time in at) == expected


def test_the_first_combination_that_matches_counts_in_whatever_bucket_it_is() -> None:
    asking = Asking(SlidingStore(10))
    assert asking((0, "ax"), (12, "by"), (6, "ay"), (6, "cy"), (9.9, "ac")) == "u u d0 d1.1 d0"


def test_of_two_the_original_is_the_one_with_the_smaller_reference() -> None:
    store = SlidingStore(10)
    hashes = np.ones((1, 1, 2), np.uint64)
    for time, reference in ((0.0, 7), (12.0, 3)):
        store.decide(hashes, np.array([time]), np.array([reference]))
    for time in (2.5, 6.0, 9.5):
        decided = store.decide(hashes, np.array([time]), np.array([9])).matches
        assert decided.originals.tolist() == [3]


@given(
    seconds=st.sampled_from([3600.0, 0.1, 1 / 3, 7.0, 1e-3, 86400.0]) | st.floats(1e-6, 1e9),
    quotient=st.sampled_from([2.0**19, 2.0**52, 2.0**53, 1.0, 0.0, -1.0, 3.0, -(2.0**20)])
    | st.integers(-(2**54), 2**54).map(float),
    steps=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=6),
)
def test_rounding_hides_no_match(
    seconds: float, quotient: float, steps: list[tuple[int, int]]
) -> None:
    """Times a few of the smallest steps beside the borders of buckets."""
    unique: list[tuple[float, int]] = []
    asking = Asking(SlidingStore(seconds))
    for index, (windows, ulps) in enumerate(steps):
        time = (quotient + windows) * seconds
        time += ulps * math.ulp(time)
        near = [place for other, place in unique if abs(time - other) < seconds]
        assert asking((time, "a")) == (f"d{near[0]}" if near else "u")
        if not near:
            unique.append((time, index))


@pytest.mark.parametrize(
    "horizon, held",
    [
        (-math.inf, 3),
        (5, 3),
        (14.99, 3),  # a record at 14.99 can still match the one at 5
        (15, 2),
        (27.99, 2),
        (28, 1),
        (35, 1),
        (38, 0),
        (sys.float_info.max, 0),
    ],
)
def test_a_bucket_is_dropped_when_its_newest_key_is_out_of_reach(horizon: float, held: int) -> None:
    store = SlidingStore(10)
    Asking(store)(*times(28, 5, 18, 6))
    assert len(store) == 3
    store.expire(horizon)
    assert len(store) == held
    assert store.is_expired(28, horizon) == (held == 0)


def test_a_renewed_key_keeps_its_time() -> None:
    stores = [SlidingStore(10, Bound(32, renew=True)) for _ in range(2)]
    asking = Asking(stores[0])
    assert asking((100, "a"), (101, "b"), (102, "c"), (103, "d")) == "u u u u"
    assert asking((105, "a")) == "d0"
    renewing = asking.deltas[-1]
    assert (renewing.times.tolist(), renewing.references.tolist()) == ([100.0], [0])
    for delta in asking.deltas:
        stores[1].apply(delta)
    assert contents(stores[1]) == contents(stores[0])
