"""Sessions: borders, extending, joining, expiry."""

import math
import sys

import numpy as np
import numpy.typing as npt
import pytest

from operators.columns.arrays import Hashes
from operators.windows.bound import Bound
from operators.windows.session import SessionStore
from tests.stores import Asked, Asking, contents, hashes_of, times


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
    assert store.is_expired(60, horizon) == (held == 0)


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
    empty = store.size_bytes()
    for tenth in range(3000):
        asking((tenth / 10, "a"))
        store.expire(tenth / 10 - 20)
    assert store.size_bytes() == empty
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


@pytest.mark.parametrize("renew", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_many_sessions_of_a_key_in_any_order(seed: int, renew: bool) -> None:
    """Begun in any order, then joined in any order, and dropped from the first on."""
    store = SessionStore(10, Bound(renew=renew))
    asking = Asking(store)
    order = np.random.default_rng(seed)
    begun = order.permutation(200)
    assert asking(*times(*(15.0 * begun))) == " ".join(["u"] * 200)
    decided = {int(number): at for at, number in enumerate(begun)}
    # Between two that are neighbours: the one of them that was decided first stays.
    between = order.permutation(100) * 2
    first = [min(decided[n], decided[n + 1]) for n in between.tolist()]
    said = asking(*times(*(15.0 * between + 7.5)))
    assert said == " ".join(f"d{one}" for one in first)
    assert len(store) == 100
    copy = SessionStore(10, Bound(renew=renew))
    for delta in asking.deltas:
        copy.apply(delta)
    loaded = SessionStore(10, Bound(renew=renew))
    loaded.load(store.dump())
    for one in (copy, loaded):
        assert contents(one) == contents(store)
    for one in (store, copy, loaded):
        for number in range(0, 200, 2):
            # The first one goes 10 after its last record, at 15 · (number + 1).
            for time, touches in ((15.0 * number - 10, False), (15.0 * number + 24, True)):
                assert one.repeats(hashes_of(["a"]), np.array([time])).tolist() == [touches]
            assert not one.repeats(hashes_of(["a"]), np.array([15.0 * 199 + 10])).any()
            one.expire(15.0 * number + 25)
            assert len(one) == 99 - number // 2


@pytest.mark.parametrize(
    "events, expected",
    [
        # What two became goes on as the older of them, beside one begun between them.
        ([(40, "a"), (0, "a"), (25, "a"), (32, "a"), (9, "a"), (17, "a")], "u u u d0 d1 d0"),
        # So does the first one when another is begun before it, in the place of one that went.
        (
            [(60, "a"), (75, "a"), (0, "b"), (12, "b"), (6, "b"), (40, "a"), (67, "a")],
            "u u u u d2 u d0",
        ),
    ],
)
def test_the_record_that_was_decided_first_stays(events: list[Asked], expected: str) -> None:
    assert Asking(SessionStore(10))(*events) == expected


def test_what_was_evicted_is_not_joined_to_what_came_after_it() -> None:
    """The changelog has both, one after the other: the later one counts."""
    before = SessionStore(10, Bound(1))
    asking = Asking(before)
    assert asking((0, "a"), (9, "a"), (0, "b"), (5, "a"), (14, "a")) == "u d0 u u d3"
    store = SessionStore(10)
    for delta in asking.deltas:
        store.apply(delta)
    assert Asking(store)((-5, "a"), (15, "a")) == "u d3"


def test_what_is_left_of_a_key_keeps_its_age_and_its_order() -> None:
    store = SessionStore(10, Bound(4))
    asking = Asking(store)
    asking((0, "a"), (25, "b"), (20, "a"), (40, "a"))
    store.expire(15)  # the first session of a
    assert len(store) == 3
    assert asking((29, "a")) == "d2"
    store.expire(15)
    assert asking((39, "c"), (60, "d")) == "u u"  # there was room for one
    assert store.evicted == 2
    assert not store.known(hashes_of(["a"])[:, 0]).any()
    assert store.known(hashes_of(["b", "c", "d"])[:, 0]).all()


@pytest.mark.parametrize("renew, gone", [(False, "a"), (True, "b")])
def test_a_further_session_renews_its_key(renew: bool, gone: str) -> None:
    store = SessionStore(10, Bound(3, renew))
    asking = Asking(store)
    assert asking((0, "a"), (0, "b"), (20, "a"), (20, "c")) == "u u u u"
    assert not store.known(hashes_of([gone])[:, 0]).any()
    copy = SessionStore(10, Bound(3, renew))
    for delta in asking.deltas:
        copy.apply(delta)
    assert contents(copy) == contents(store)


def test_a_dump_of_before_sessions_were_columns_can_be_loaded() -> None:
    before = SessionStore(10)
    Asking(before)((0, "a"), (0, "b"), (20, "a"))
    store = SessionStore(10)
    store.load({**before.dump(), "newest": {0: 0.0, 2: 20.0}})
    assert contents(store) == contents(before)
    assert Asking(store)((29, "a"), (9, "a")) == "d2 d0"


@pytest.mark.parametrize("restored", ["loaded", "applied"])
def test_what_is_restored_expires_when_it_would_have(restored: str) -> None:
    before, store = SessionStore(10), SessionStore(10)
    asking = Asking(before)
    asking((0, "a"), (9, "a"), (25, "b"))
    if restored == "loaded":
        store.load(before.dump())
    else:
        store.apply(asking.deltas[0])
    for horizon, held in ((18.9, 2), (19, 1), (34.9, 1), (35, 0)):
        store.expire(horizon)
        assert len(store) == held


class Many:
    """Sessions of one record each, one after the other in event time, a thousand a second."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.begun = 0

    def begin(self, count: int, at_once: int = 5_000) -> None:
        """Begin so many, some at a time."""
        for begun in range(self.begun, self.begun + count, at_once):
            if begun > self.begun:
                self.store.expire(-math.inf)
            numbers = np.arange(begun, min(begun + at_once, self.begun + count))
            found = self.store.decide(self.keys(numbers)[:, None], numbers / 1000, numbers).matches
            assert (found.combination == -1).all()
        self.begun += count

    def keys(self, numbers: npt.NDArray[np.signedinteger]) -> Hashes:
        keys = np.empty((len(numbers), 2), np.uint64)
        keys[:, 0] = keys[:, 1] = (numbers + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return keys

    def known(self) -> list[int]:
        """Numbers of the sessions that are held; each of them once."""
        known = np.flatnonzero(self.store.known(self.keys(np.arange(self.begun))))
        assert len(known) == len(self.store)
        state = self.store.dump()
        assert state["references"].tolist() == known.tolist()
        assert (state["first"] == known / 1000).all()
        return known.tolist()


def test_many_sessions_go_in_steps_and_none_too_soon() -> None:
    many = Many(SessionStore(10))
    many.begin(100_000)  # up to 100 s
    sizes = []
    for _ in range(8):
        many.store.expire(60)
        sizes.append(len(many.store))
    # What ended at 50 s can be touched until 60 s.
    assert many.known() == list(range(50_001, 100_000))
    steps = -np.diff([100_000, *sizes])
    assert max(steps) < 20_000, "a lane stands still meanwhile"
    size = many.store.size_bytes()
    for _ in range(10):
        many.begin(10_000)
        for _ in range(2):
            many.store.expire(many.begun / 1000 - 45)
    assert many.store.size_bytes() == size
    # They are looked for once the horizon moved by a sixteenth of the gap.
    assert set(range(145_001, 200_000)) <= set(many.known())
    assert len(many.store) < 55_000 + 10_000 + 16_384
    many.store.expire(210)
    assert len(many.store) == 0


def test_a_row_that_waits_to_be_dropped_may_be_taken_by_another() -> None:
    many = Many(SessionStore(10, Bound(60_000)))
    many.begin(60_000)
    many.store.expire(50)  # of those up to 40 s some go, the others wait
    assert 40_000 < len(many.store) < 60_000
    many.begin(30_000, at_once=30_000)
    assert many.store.evicted > 0
    for _ in range(4):
        many.store.expire(50)
    assert many.known() == list(range(40_001, 90_000))


def test_a_key_that_a_record_has_twice_counts_once() -> None:
    store = SessionStore(10, Bound(2))
    twice = np.repeat(hashes_of(["a", "b"]), 2, axis=1)
    for row in range(2):
        found = store.decide(twice[row : row + 1], np.array([1.0]), np.array([row])).matches
        assert found.combination.tolist() == [-1]
    assert (len(store), store.evicted) == (2, 0)


@pytest.mark.parametrize("most", [10_000, 150_000])
def test_of_many_keys_the_oldest_go(most: int) -> None:
    many = Many(SessionStore(10, Bound(most)))
    for _ in range(10):
        many.begin(40_000)
    held = many.known()
    assert most * 0.95 < len(held) <= most
    assert held == list(range(400_000 - len(held), 400_000))
    assert many.store.evicted == 400_000 - len(held)


def test_keys_are_evicted_wherever_their_first_sessions_lie() -> None:
    """Rows of sessions that went are taken by later ones, here of keys that are known."""
    many = Many(SessionStore(10, Bound(140_000)))
    numbers = np.arange(140_000)
    keys = many.keys(numbers)[:, None]
    many.store.decide(keys, np.where(numbers % 2 == 0, 0.0, 100.0), numbers)
    while len(many.store) > 70_000:
        many.store.expire(50)
    many.store.decide(keys[1::2], np.full(70_000, 200.0), numbers[1::2] + 1_000_000)
    assert len(many.store) == 140_000
    many.store.decide(keys[:1], np.array([200.0]), np.array([2_000_000]))
    assert many.store.known(keys[0]).all()
    state = many.store.dump()
    assert len(many.store) == len(state["last"]) == 140_001 - many.store.evicted
    # The oldest keys went, with both of their sessions.
    assert many.store.evicted == pytest.approx(2 * 140_000 / 64, rel=0.05)
    left = set(state["references"].tolist())
    gone = [number for number in range(1, 140_000, 2) if number not in left]
    assert gone == list(range(1, 2 * len(gone), 2))
    assert not left & {number + 1_000_000 for number in gone}


def test_a_session_takes_little_memory() -> None:
    many = Many(SessionStore(10))
    many.begin(300_000)
    assert many.store.size_bytes() < 90 * 300_000
