"""Keys that a batch has more than once, compared with a dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.columns import first_occurrences as module
from operators.columns.first_occurrences import first_occurrences
from operators.windows.key_table.batch_repeats import shares_key


@given(numbers=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3))))
def test_first_occurrences(numbers: list[tuple[int, int]]) -> None:
    seen: dict[tuple[int, int], int] = {}
    expected = [seen.setdefault(key, row) for row, key in enumerate(numbers)]
    keys = np.array(numbers, np.uint64).reshape(-1, 2)
    assert first_occurrences(keys).tolist() == expected


@pytest.mark.parametrize("slots", [1, 8])
def test_many(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLOTS_PER_KEY", slots)
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 2**64, (3000, 2), dtype=np.uint64)[rng.integers(0, 3000, 5000)]
    seen: dict[tuple[int, ...], int] = {}
    expected = [seen.setdefault(tuple(key), row) for row, key in enumerate(keys.tolist())]
    assert first_occurrences(keys).tolist() == expected


def test_keys_that_differ_in_one_half_only() -> None:
    for column in (0, 1):
        keys = np.zeros((500, 2), np.uint64)
        keys[:, column] = np.arange(500) << 40
        assert first_occurrences(keys).tolist() == list(range(500))
        keys[:, column] = np.random.default_rng(5).permutation(1 << 16)[:500]
        assert first_occurrences(keys).tolist() == list(range(500))
    crossed = np.array([[0, 1], [2, 0], [0, 1]], np.uint64)  # alike once folded into one word
    assert first_occurrences(crossed).tolist() == [0, 1, 0]


def test_records_that_share_a_key() -> None:
    first = np.array([0, 1, 2, 0, 4, 5, 6, 6, 8, 9])
    assert shares_key(first, 2).tolist() == [True, True, False, True, False]
    assert shares_key(first[:0], 2).tolist() == []
