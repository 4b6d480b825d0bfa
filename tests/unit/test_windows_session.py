"""Sessions: borders, extending, joining, expiry."""

import math
import sys

import pytest

from operators.windows.session import SessionStore
from tests.stores import Asking, contents, times


@pytest.mark.parametrize(
    "gap, at, expected",
    [
        (10, [0, 9.99], "u d0"),
        (10, [0, 10], "u u"),
        (10, [0, -9.99], "u d0"),
        (10, [0, -10], "u u"),
        (10, [0, 6, 12], "u d0 d0"),  # duplicates extend it
        (10, [0, 6, 16], "u d0 u"),
        (10, [0, -6, -12, 6], "u d0 d0 d0"),
        (10, [0, 9, 3, 18], "u d0 d0 d0"),  # one inside takes nothing back
        (10, [0, 12, 6], "u u d0"),  # touches two
        (10, [12, 0, 6, 21, -9], "u u d0 d0 d0"),  # joined: one session from 0 to 12
        (10, [0, 20, 10], "u u u"),  # exactly G from both
        (10, [0, 20, 9, 12], "u u d0 d0"),
        (10, [0, 20, 40, 9, 31, 15, 26, 49], "u u u d0 d2 d0 d0 d0"),  # three become one
        (10, [-0.0, 0.0], "u d0"),
        (1e-5, [1e305, 1e305, 1.7e308, -1.7e308, -1e305], "u d0 u u u"),
        (1e308, [-1e308, 1e308, 0, 1.7e308], "u u u d1"),
        (5e-324, [0.0, 0.0, 5e-324], "u d0 u"),
    ],
)
def test_borders(gap: float, at: list[float], expected: str) -> None:
    assert Asking(SessionStore(gap))(*times(*at)) == expected
    asking = Asking(SessionStore(gap))  # and one by one
    assert " ".join(asking((time, "a")) for time in at) == expected


def test_a_duplicate_extends_the_session_of_the_combination_that_it_matched() -> None:
    asking = Asking(SessionStore(10))
    assert asking((0, "ax"), (9, "ay"), (18, "ay")) == "u d0 d0"
    assert asking((9, "bx"), (18, "cx"), (18, "by")) == "d0.1 d0.1 u"
    assert len(asking.store) == 4


def test_joined_sessions_count_as_one() -> None:
    asking = Asking(SessionStore(10))
    asking(*times(0, 20, 9))
    assert len(asking.store) == 2
    asking(*times(12))
    assert len(asking.store) == 1
    assert list(contents(asking.store).values()) == [[[0, 20, 0]]]


@pytest.mark.parametrize(
    "horizon, held",
    [
        (-math.inf, 3),
        (29, 3),
        (34.99, 3),
        (35, 2),  # the session from 5 to 25 can be touched up to 35
        (49.99, 2),
        (51, 1),
        (70, 0),
        (sys.float_info.max, 0),
    ],
)
def test_a_session_is_dropped_when_it_is_out_of_reach(horizon: float, held: int) -> None:
    store = SessionStore(10)
    Asking(store)(*times(60, 41, 5, 14, 16, 25))
    assert len(store) == 3
    store.expire(horizon)
    assert len(store) == held
    assert store.expired(60, horizon) == (held == 0)


def test_a_session_lives_as_long_as_it_is_extended() -> None:
    store = SessionStore(10)
    asking = Asking(store)
    asking((0, "b"), (0, "a"))
    for time in range(5, 500, 5):
        assert asking((time, "a")) == "d1"
        store.expire(time - 5)
    assert len(store) == 1
    store.expire(505)
    assert len(store) == 0


def test_a_busy_session_costs_no_memory_a_record() -> None:
    store = SessionStore(10)
    asking = Asking(store)
    for tenth in range(1000):
        asking((tenth / 10, "a"))
    assert sum(len(bucket.keys) for bucket in store._buckets.values()) == 1
    store.expire(90)
    assert sum(len(bucket.keys) for bucket in store._buckets.values()) == 1
    assert len(store) == 1


def test_an_early_record_joins_backwards_in_time() -> None:
    store = SessionStore(10)
    asking = Asking(store)
    assert asking(*times(100, 80, 91)) == "u u d0"
    store.expire(100)
    assert asking(*times(89, 101)) == "d0 d0"  # joins 80 and 91–100; the later one came first
    store.expire(110.99)
    assert len(store) == 1
    store.expire(111)
    assert len(store) == 0
