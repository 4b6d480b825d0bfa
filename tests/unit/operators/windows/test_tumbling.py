"""Tumbling windows, and for ever: borders, expiry."""

import math
import sys

import numpy as np
import pytest

from operators.windows.bound import Bound
from operators.windows.key_table import table
from operators.windows.tumbling import TumblingStore
from tests.stores import Asking, times


@pytest.mark.parametrize(
    "seconds, at, expected",
    [
        (10, [0, 9.99], "u d0"),
        (10, [0, 10], "u u"),
        (10, [9.99, 0], "u d0"),
        (10, [9, 10, 19, 9.5], "u u d1 d0"),
        (10, [-0.1, 0], "u u"),
        (10, [-10, -0.1], "u d0"),
        (10, [-10, -10.1], "u u"),
        (10, [-0.0, 0.0], "u d0"),
        (0.5, [0.49, 0.5, 0.99, 1.0], "u u d1 u"),
        (0.1, [0.3, 0.30000000000000004], "u u"),  # 0.3 / 0.1 is 2.9999999999999996
        (1e-5, [1e305, 1.7e308, -1e305, -1.7e308], "u d0 u d2"),  # t / W overflows
        (1e300, [1e299, -1e299, 5e-324, 0], "u u d0 d0"),
        (5e-324, [0.0, 5e-324, 1e-310, 1.0, 2.0], "u u u u d3"),
        (math.inf, [0, 900, -1e308, 1e308], "u d0 d0 d0"),
    ],
)
def test_borders(seconds: float, at: list[float], expected: str) -> None:
    assert Asking(TumblingStore(seconds))(*times(*at)) == expected
    asking = Asking(TumblingStore(seconds))  # and one by one
    assert " ".join(asking((time, "a")) for time in at) == expected


@pytest.mark.parametrize(
    "names, expected",
    [
        (["ab", "ac", "cb", "cc"], "u d0 d0.1 u"),
        (["ab", "cd", "ad", "cb"], "u u d0 d1"),  # the first combination that matches
        (["ab", "cd", "eb", "ed", "ee"], "u u d0.1 d1.1 u"),  # a duplicate enters no keys
        (["aa", "ba"], "u d0.1"),
    ],
)
def test_several_combinations(names: list[str], expected: str) -> None:
    assert Asking(TumblingStore(10))(*[(0, name) for name in names]) == expected
    asking = Asking(TumblingStore(10))
    assert " ".join(asking((0, name)) for name in names) == expected
    assert asking((10, names[0])) == "u"


@pytest.mark.parametrize(
    "horizon, held",
    [
        (-math.inf, 4),
        (-10.01, 4),
        (-10, 4),
        (0, 3),  # a record at 0 can still be of [0, 10)
        (9.99, 3),
        (10, 2),
        (19, 2),
        (29.99, 1),
        (30, 0),
        (sys.float_info.max, 0),
    ],
)
def test_a_window_is_dropped_when_the_horizon_has_left_it(horizon: float, held: int) -> None:
    store = TumblingStore(10)
    Asking(store)(*times(25, 15, 5, -5, 6))
    assert len(store) == 4
    store.expire(horizon)
    assert len(store) == held
    store.expire(-5)  # never back
    assert len(store) == held


def test_nothing_is_ever_dropped_for_ever() -> None:
    store = TumblingStore(math.inf)
    assert Asking(store)(*times(0, 1e308), (0, "b")) == "u d0 u"
    store.expire(sys.float_info.max)
    assert len(store) == 2


def test_a_batch_may_hold_many_windows() -> None:
    store = TumblingStore(1)
    order = np.random.default_rng(1).permutation(3000)
    asking = Asking(store)
    asking(*[(float(time), str(time % 7)) for time in order])
    assert len(store) == 3000
    assert set(asking(*[(time + 0.5, str(time % 7)) for time in range(3000)]).split()) == {
        f"d{place}" for place in range(3000)
    }
    store.expire(1500)
    assert len(store) == 1500


def test_a_key_is_renewed_only_once_it_is_old_enough() -> None:
    bound = Bound(1600, renew=True)
    store = TumblingStore(math.inf, bound)

    def renewals(*numbers: int) -> int:
        hashes = np.array([[[number, 1]] for number in numbers], np.uint64)
        times, references = np.zeros(len(numbers)), np.arange(len(numbers))
        matches, delta = store.decide(hashes, times, references)
        return len(delta) - int((matches.combination < 0).sum())

    assert bound.renewed_after == 100
    assert renewals(*range(100)) == 0
    assert renewals(0) == 0  # a hundred keys, itself among them, are not too many
    assert renewals(1000, 0, 0) == 1  # one more is; renewed, it is young again
    assert renewals(*range(1, 11)) == 10  # each renewal makes the next key older


def test_what_was_evicted_but_not_yet_swept_is_not_found() -> None:
    store = TumblingStore(10, Bound(20_000))

    def decide(numbers: range, time: float) -> int:
        hashes = np.stack([np.arange(numbers.start, numbers.stop), np.ones(len(numbers))], axis=1)
        times = np.full(len(numbers), time)
        decision = store.decide(hashes.astype(np.uint64)[:, None], times, np.arange(len(numbers)))
        return int((decision.matches.combination < 0).sum())

    assert decide(range(10_000), 5) == decide(range(10_000), 15) == 10_000
    store.expire(10)  # more keys than are swept at once
    assert decide(range(10_000, 20_000), 15) == 10_000
    assert decide(range(20_000, 20_001), 15) == 1
    evicted = store.evicted
    assert evicted > 0
    assert decide(range(evicted), 15) == evicted


def test_stamps_begin_anew_while_records_are_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_MAX_STAMP", 1000)
    monkeypatch.setattr(table, "_HALF_OF_STAMPS", 500)
    store = TumblingStore(math.inf, Bound(300))
    for begin in range(0, 5_000, 130):
        hashes = np.array([[[number, 1]] for number in range(begin, begin + 130)], np.uint64)
        store.decide(hashes, np.zeros(130), np.arange(begin, begin + 130))
        state = store.dump()
        assert state["stamps"].max() <= 1000
        kept = state["references"].tolist()
        assert kept == list(range(begin + 130 - len(kept), begin + 130))


def test_a_record_with_one_key_twice_needs_room_for_one() -> None:
    store = TumblingStore(math.inf, Bound(4))
    keys = np.array([[[1, 0], [2, 0]], [[3, 0], [4, 0]]], np.uint64)
    store.decide(keys[:1], np.zeros(1), np.zeros(1, np.int64))
    twice = np.array([[[5, 0], [5, 0]]], np.uint64)
    store.decide(twice, np.zeros(1), np.ones(1, np.int64))
    again = np.array([[[6, 0], [6, 0]]], np.uint64)
    store.decide(again, np.zeros(1), np.ones(1, np.int64))
    assert (len(store), store.evicted) == (4, 0)
    store.decide(keys[1:], np.zeros(1), np.ones(1, np.int64))
    assert len(store) <= 4
    assert store.evicted > 0
