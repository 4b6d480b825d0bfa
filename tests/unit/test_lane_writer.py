"""When lanes with little to write commit: together (what they write is in tests/integration)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.lane_writer import until_tick

_NOW = st.floats(1.6e9, 2.0e9)
_SECONDS = st.sampled_from([0.0005, 0.05, 0.25, 0.5])


@given(_NOW, _SECONDS)
def test_a_tick_comes_soon_but_not_at_once(now: float, seconds: float) -> None:
    """Not at once: whoever has just committed would do it again."""
    assert 0.0 < until_tick(now, seconds) <= seconds


@given(_NOW, _SECONDS, st.floats(0.0, 1.0, exclude_max=True))
def test_lanes_that_begin_between_two_ticks_commit_together(
    now: float, seconds: float, later: float
) -> None:
    """Whichever process they are in: the tick is that of the wall clock."""
    tick = now + until_tick(now, seconds)
    began = now + later * (tick - now)
    if began < tick:
        assert began + until_tick(began, seconds) == pytest.approx(tick, abs=1e-6)


def test_ticks_are_multiples() -> None:
    """As a user reads them off a clock."""
    assert until_tick(1_700_000_000.02, 0.05) == pytest.approx(0.03, abs=1e-6)
    assert until_tick(1_700_000_000.0, 0.5) == 0.5
