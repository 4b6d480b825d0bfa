"""The hottest keys of a lane: those with the most duplicates lately."""

from collections import Counter

import numpy as np
import pytest

from operators.columns.references import references
from operators.lanes import hot_keys as module
from operators.lanes.hot_keys import MAX_HOT_KEYS, HotKeys
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.windows.tumbling import TumblingStore
from tests.builders import keys_of, slice_of


def add(hot: HotKeys, numbers: object, offset: int, combination: int = 0) -> None:
    """Count duplicates of partition 2 whose only key, or second of two, is their number."""
    keys = keys_of(numbers)[:, None]
    rows = np.arange(len(keys))
    hashes = np.concatenate([np.zeros_like(keys)] * combination + [keys], axis=1)
    combinations = np.full(len(keys), combination, np.int8)
    hot.add(hashes, references(2, offset + rows), rows, combinations)


def test_the_hottest_keys_are_found() -> None:
    rng = np.random.default_rng(8)
    numbers = np.minimum(rng.zipf(1.3, 200_000), 1 << 30)
    hot = HotKeys()
    assert hot.hottest() == []
    for begin in range(0, len(numbers), 500):
        add(hot, numbers[begin : begin + 500], begin, combination=1)
    hottest = hot.hottest()
    counts = Counter(numbers.tolist())
    expected = [number for number, _ in counts.most_common(MAX_HOT_KEYS)]
    assert len(hottest) == MAX_HOT_KEYS
    assert [numbers[key.offset] for key in hottest[:10]] == expected[:10]
    for key in hottest:
        assert (key.combination, key.partition) == (1, 2)
        count = counts[numbers[key.offset]]
        assert count <= key.duplicates <= count * 1.2


def test_only_duplicates_are_counted_and_near_duplicates_are_not() -> None:
    hot = HotKeys()
    hashes = keys_of([1, 1, 1, 2, 2])[:, None]
    duplicates = np.array([1, 2, 4])
    hot.add(hashes, references(0, np.arange(5)), duplicates, np.array([0, 0, 1], np.int8))
    assert [(key.offset, key.duplicates) for key in hot.hottest()] == [(1, 2)]
    hot.add(hashes, references(0, np.arange(5)), np.array([3]), np.array([1], np.int8))
    hot.add(hashes, references(0, np.arange(5)), np.zeros(0, np.int64), np.zeros(0, np.int8))
    assert [(key.offset, key.duplicates) for key in hot.hottest()] == [(1, 2)]


def test_hot_keys_cool_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HALVE_AFTER", 1000)
    hot = HotKeys()
    for number in (1, 2):
        for _ in range(30):
            add(hot, [number] * 100, 1000 * number)
    assert [key.offset for key in hot.hottest()] == [2000, 1000]
    assert hot.hottest()[1].duplicates < 100


def test_a_lane_counts_its_duplicates_and_the_observer_shows_them() -> None:
    observer = Observer(Metrics())
    lanes = [Lane(index, LaneSpec(lambda: TumblingStore(60.0), 0.0, 30.0, {})) for index in (0, 1)]
    for lane in lanes:
        observer.opened(lane)
    lanes[0].decide(slice_of(0, [(1.0, name) for name in "abcabca"]))
    lanes[1].decide(slice_of(0, [(1.0, name) for name in "ddddd"], partition=3, partitions=4))
    hot = observer.hot_keys()
    assert [(lane, key.duplicates) for lane, key, _ in hot] == [(1, 4), (0, 2), (0, 1), (0, 1)]
    assert (hot[0][1].combination, hot[0][2].partition, hot[0][1].offset) == (0, 3, 1)
