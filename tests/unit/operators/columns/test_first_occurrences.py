"""First rows of equal keys, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.columns.first_occurrences import first_occurrences

_WORDS = st.integers(0, 3) | st.integers(2**64 - 3, 2**64 - 1)


def expected(keys: list[tuple[int, int]]) -> list[int]:
    first: dict[tuple[int, int], int] = {}
    return [first.setdefault(key, row) for row, key in enumerate(keys)]


@given(st.lists(st.tuples(_WORDS, _WORDS), max_size=40))
def test_few_different_keys(keys: list[tuple[int, int]]) -> None:
    hashes = np.array(keys, np.uint64).reshape(-1, 2)
    assert first_occurrences(hashes).tolist() == expected(keys)


@pytest.mark.parametrize("count", [1_000, 5_000])
def test_many_different_keys(count: int) -> None:
    draw = np.random.default_rng(count)
    keys = draw.integers(0, 2**64 - 1, (count, 2), np.uint64)
    keys = keys[draw.integers(0, count, 2 * count)]
    rows = [(int(low), int(high)) for low, high in keys]
    assert first_occurrences(keys).tolist() == expected(rows)
