"""The audit's matching and window checks against slow, obvious ones."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli.audit import matching
from flows.cli.audit.matching import pair, repeated_keys
from operators.columns.arrays import Hashes
from operators.windows.kinds import KINDS, WindowName

NAMES = st.lists(st.sampled_from("abcd"), max_size=12)


def hashes(names: list[str]) -> Hashes:
    """Different in either half only, so that both halves count."""
    halves = {"a": (0, 0), "b": (0, 1), "c": (1, 0), "d": (1, 1)}
    return np.array([halves[name] for name in names], np.uint64).reshape(-1, 2)


@pytest.fixture(autouse=True, scope="module")
def _small_buckets() -> Iterator[None]:
    """Sort only a few rows together, so that there are several buckets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_BUCKET_ROWS", 3)
        yield


@given(left=NAMES, right=NAMES)
def test_pairing_is_the_intersection_of_multisets(left: list[str], right: list[str]) -> None:
    paired_left, paired_right = pair(hashes(left), hashes(right))

    common = Counter(left) & Counter(right)
    assert Counter(n for n, p in zip(left, paired_left, strict=True) if p) == common
    assert Counter(n for n, p in zip(right, paired_right, strict=True) if p) == common


def test_the_first_of_equal_records_are_paired_first() -> None:
    paired, _ = pair(hashes(["a", "b", "a", "a"]), hashes(["a", "a"]))

    assert paired.tolist() == [True, False, True, False]


def test_only_chosen_records_are_paired() -> None:
    chosen = np.array([False, True, True, False])
    paired, others = pair(hashes(["a", "b", "a", "a"]), hashes(["a", "a", "b"]), chosen)

    assert paired.tolist() == [False, True, True, False]
    assert others.tolist() == [True, False, True]


def too_close(first: float, second: float, window: str) -> bool:
    if window == "tumbling":
        return math.floor(first / 10) == math.floor(second / 10)
    return window == "forever" or abs(first - second) < 10


@given(
    records=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from([-10.0, -0.5, 0, 5, 9.9, 10, 19.9, 20])),
        max_size=10,
    ),
    window=st.sampled_from(list(KINDS)),
)
def test_a_repeated_key_is_found_in_its_window_and_only_there(
    records: list[tuple[str, float]], window: WindowName
) -> None:
    names = [name for name, _ in records]
    times = np.array([moment for _, moment in records], np.float64)
    repeats, before = repeated_keys(hashes(names), times, window, 10)

    pairs = [
        (first, second)
        for first, second in combinations(range(len(records)), 2)
        if names[first] == names[second] and too_close(times[first], times[second], window)
    ]
    assert (len(repeats) > 0) == (len(pairs) > 0)
    for pair_of_rows in zip(repeats.tolist(), before.tolist(), strict=True):
        assert tuple(sorted(pair_of_rows)) in pairs


@pytest.mark.parametrize("window", list(KINDS))
def test_nothing_repeats_nothing(window: WindowName) -> None:
    repeats, _ = repeated_keys(hashes([]), np.zeros(0), window, 10)

    assert len(repeats) == 0
