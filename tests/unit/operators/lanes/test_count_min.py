"""The Count-Min sketch: never too low, and within its bound."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.lanes.count_min import CountMinSketch
from tests.builders import keys_of


@given(batches=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30), max_size=10))
def test_an_estimate_is_never_too_low(batches: list[list[int]]) -> None:
    sketch = CountMinSketch(0.3, 0.3)  # so small that keys share cells
    counts = Counter[int]()
    for batch in batches:
        rows, estimates = sketch.add(keys_of(batch))
        counts.update(batch)
        for row, estimate in zip(rows.tolist(), estimates.tolist(), strict=True):
            assert estimate >= counts[batch[row]]
        assert len(rows) == len(set(batch))
    estimates = sketch.estimate(keys_of(range(41)))
    assert (estimates >= [counts[number] for number in range(41)]).all()
    assert sketch.total == sum(counts.values())


@pytest.mark.parametrize("error, failure", [(0.001, 0.01), (0.01, 0.1)])
def test_estimates_are_within_the_bound(error: float, failure: float) -> None:
    sketch = CountMinSketch(error, failure)
    assert (sketch.width, sketch.depth) == (
        math.ceil(math.e / error),
        math.ceil(-math.log(failure)),
    )
    rng = np.random.default_rng(4)
    numbers = np.minimum(rng.zipf(1.2, 300_000), 1 << 40)
    for batch in np.array_split(numbers, 150):
        sketch.add(keys_of(batch))
    distinct, counts = np.unique(numbers, return_counts=True)
    over = sketch.estimate(keys_of(distinct)) - counts
    assert over.min() >= 0
    assert (over > error * len(numbers)).mean() <= failure
    sketch.halve()
    assert (sketch.estimate(keys_of(distinct)) >= counts // 2).all()
    assert sketch.total == 150_000


@pytest.mark.parametrize("error, failure", [(0, 0.1), (1, 0.1), (0.1, 0), (0.1, 1)])
def test_values_out_of_range_are_refused(error: float, failure: float) -> None:
    with pytest.raises(ValueError, match="sketch"):
        CountMinSketch(error, failure)
