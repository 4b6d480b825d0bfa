"""When lanes with little to write commit, and sources read for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ticks import Reading, commit_seconds, until_tick

_NOW = st.floats(1.6e9, 2.0e9)
_SECONDS = st.sampled_from([0.0005, 0.05, 0.25, 0.5])
_INTERVALS = st.floats(0.001, 1.0)


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


def test_lanes_with_few_records_commit_twice_an_interval_unless_it_is_long() -> None:
    assert commit_seconds(0.1) == 0.05
    assert commit_seconds(1.0) == 0.5
    assert commit_seconds(1.001) is None


@given(_INTERVALS)
def test_readings_and_commits_keep_step(interval: float) -> None:
    """Either every commit has its reading, or every reading its commit."""
    commits, reading = commit_seconds(interval), Reading.before_commits(interval)
    assert commits is not None
    more, fewer = commits / reading.seconds, reading.seconds / commits
    assert max(more, fewer) == pytest.approx(round(max(more, fewer)))


@given(st.floats(0.001, 60.0))
def test_readings_are_neither_many_nor_far_apart(interval: float) -> None:
    assert 0.02 <= Reading.before_commits(interval).seconds <= 0.05


@given(_NOW, _INTERVALS)
def test_a_reading_is_shortly_before_a_commit(now: float, interval: float) -> None:
    reading = Reading.before_commits(interval)
    read = now + reading.wait(now)
    assert 0.0 < reading.wait(now) <= reading.seconds
    assert until_tick(read, reading.seconds) == pytest.approx(0.015, abs=1e-6)
