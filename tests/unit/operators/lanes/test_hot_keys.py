"""Count-Min: never too small, within its bound; the hottest keys; skew."""

import logging
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.columns.references import references
from operators.lanes import hot_keys as module
from operators.lanes.count_min import CountMinSketch
from operators.lanes.hot_keys import MOST, HotKeys
from operators.lanes.lane import Lane, LaneSpec
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.monitoring.skew import SkewMonitor
from operators.windows.tumbling import TumblingStore
from tests.builders import keys_of, slice_of
from tests.stores import hashes_of


@given(batches=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30), max_size=10))
def test_an_estimate_is_never_too_small(batches: list[list[int]]) -> None:
    sketch = CountMinSketch(0.3, 0.3)  # so small that keys share cells
    counts = Counter[int]()
    for batch in batches:
        rows, estimates = sketch.add(keys_of(batch))
        counts.update(batch)
        for row, estimate in zip(rows.tolist(), estimates.tolist(), strict=True):
            assert estimate >= counts[batch[row]]
        assert len(rows) == len(set(batch))
    everything = sketch.estimate(keys_of(range(41)))
    assert (everything >= [counts[number] for number in range(41)]).all()
    assert sketch.total == sum(counts.values())


@pytest.mark.parametrize("error, doubt", [(0.001, 0.01), (0.01, 0.1)])
def test_estimates_are_within_the_bound(error: float, doubt: float) -> None:
    sketch = CountMinSketch(error, doubt)
    assert (sketch.width, sketch.depth) == (math.ceil(math.e / error), math.ceil(-math.log(doubt)))
    rng = np.random.default_rng(4)
    numbers = np.minimum(rng.zipf(1.2, 300_000), 1 << 40)
    for batch in np.array_split(numbers, 150):
        sketch.add(keys_of(batch))
    found, counts = np.unique(numbers, return_counts=True)
    over = sketch.estimate(keys_of(found)) - counts
    assert over.min() >= 0
    assert (over > error * len(numbers)).mean() <= doubt
    sketch.halve()
    assert (sketch.estimate(keys_of(found)) >= counts // 2).all()
    assert sketch.total == 150_000


@pytest.mark.parametrize("error, doubt", [(0, 0.1), (1, 0.1), (0.1, 0), (0.1, 1)])
def test_what_cannot_be(error: float, doubt: float) -> None:
    with pytest.raises(ValueError, match="sketch"):
        CountMinSketch(error, doubt)


def test_the_hottest_keys_are_found() -> None:
    rng = np.random.default_rng(8)
    numbers = np.minimum(rng.zipf(1.3, 200_000), 1 << 30)
    hot = HotKeys()
    assert hot.top() == []
    for begin in range(0, len(numbers), 500):
        batch = numbers[begin : begin + 500]
        count = len(batch)
        hot.add(
            keys_of(batch), np.ones(count, np.int8), references(2, np.arange(begin, begin + count))
        )
    top = hot.top()
    counts = Counter(numbers.tolist())
    expected = [number for number, _ in counts.most_common(MOST)]
    assert len(top) == MOST
    assert [one.key for one in top[:10]] == [keys_of([n])[0].tobytes().hex() for n in expected[:10]]
    for one in top:
        assert (one.combination, one.partition) == (1, 2)
        assert one.key == keys_of([numbers[one.offset]])[0].tobytes().hex()
        assert counts[numbers[one.offset]] <= one.repeats <= counts[numbers[one.offset]] * 1.2


def test_what_was_hot_cools_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HALVED_AFTER", 1000)
    hot = HotKeys()
    for key in (1, 2):
        for _ in range(30):
            hot.add(keys_of([key] * 100), np.zeros(100, np.int8), np.arange(100))
    assert [one.key for one in hot.top()] == [keys_of([n])[0].tobytes().hex() for n in (2, 1)]
    assert hot.top()[1].repeats < 100


def test_a_lane_counts_its_duplicates_and_the_observer_shows_them() -> None:
    observer = Observer(Metrics())
    lane = Lane(0, LaneSpec(lambda: TumblingStore(60.0), 0.0, 30.0, {}))
    observer.opened(lane)
    lane.decide(slice_of(0, [(1.0, name) for name in "abcabca"]))
    assert [one.repeats for one in observer.hot_keys()] == [2, 1, 1]
    hottest = observer.hot_keys()[0]
    assert (hottest.combination, hottest.partition) == (0, 0)
    assert hottest.key == hashes_of(["a"]).tobytes().hex()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "records, busiest, said",
    [
        ({0: 9000, 1: 500, 2: 400, 3: 100}, (0, 0.9), True),
        ({0: 4000, 1: 2000, 2: 3000, 3: 1000}, (0, 0.4), False),
        ({0: 6000, 1: 4000}, (0, 0.6), False),  # half is its due
        ({0: 0, 1: 20_000, 2: 0, 3: 0}, (1, 1.0), False),  # one shard, as asked for
        ({0: 90, 1: 5, 2: 4, 3: 1}, None, False),  # too few to tell
    ],
)
def test_skew(
    records: dict[int, int],
    busiest: tuple[int, float] | None,
    said: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    skew = SkewMonitor(clock)
    logging.getLogger("dedup").propagate = True
    with caplog.at_level(logging.WARNING, "dedup.skew"):
        for minute in range(1, 5):
            clock.now = 60.0 * minute
            skew.check({lane: count * minute for lane, count in records.items()})
            assert skew.busiest == busiest
            skew.check({})  # not yet
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == said
    if said:
        assert messages[0].startswith("lane 0 had 90% of the last 10000 records of 4 lanes")
        assert "DEDUP_SHARD_BY" in messages[0]
