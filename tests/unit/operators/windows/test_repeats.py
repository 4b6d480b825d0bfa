"""Looking a key up without adding it says what deciding it would say."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore
from operators.windows.tumbling import TumblingStore
from tests.stores import contents, hashes_of

_STORES: dict[str, Callable[[], KeyStore]] = {
    "tumbling": lambda: TumblingStore(10.0),
    "forever": lambda: TumblingStore(math.inf),
    "sliding": lambda: SlidingStore(10.0),
    "session": lambda: SessionStore(10.0),
}
_EVENTS = st.lists(
    st.tuples(
        st.integers(-50, 50).map(float) | st.sampled_from([-1e300, 1e300]),
        st.sampled_from(["ax", "ay", "bx", "by", "cz"]),
    ),
    min_size=1,
)


@pytest.mark.parametrize("kind", _STORES)
@given(seen=_EVENTS, asked=_EVENTS)
def test_repeats_are_what_decide_would_say(
    kind: str, seen: list[tuple[float, str]], asked: list[tuple[float, str]]
) -> None:
    def filled() -> KeyStore:
        store = _STORES[kind]()
        names = [name for _, name in seen]
        store.decide(hashes_of(names), np.array([t for t, _ in seen]), np.arange(len(seen)))
        return store

    store = filled()
    before = contents(store)
    hashes, times = hashes_of([name for _, name in asked]), np.array([t for t, _ in asked])
    repeats = store.repeats(hashes, times).tolist()
    assert contents(store) == before
    for row, said in enumerate(repeats):
        one = slice(row, row + 1)
        decided = filled().decide(hashes[one], times[one], np.array([10**6])).matches
        assert said == (decided.combination[0] >= 0)
