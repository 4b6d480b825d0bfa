"""When sources read and lanes commit where little comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.timing import CommitTiming, PollTiming

_CLOCK = st.floats(1.6e9, 2.0e9)
_INTERVALS = st.floats(0.001, 60.0)
_FEW, _MANY = 1_000, 1_001


@given(_CLOCK, _INTERVALS)
def test_a_reading_comes_soon_but_not_at_once(now: float, interval: float) -> None:
    """Not at once: whoever has just read would find nothing."""
    pace = PollTiming(interval)
    assert 0.02 <= pace.seconds <= 0.05
    assert 0.0 < pace.wait(now) <= pace.seconds


@given(_CLOCK, _INTERVALS, st.floats(0.0, 1.0, exclude_max=True))
def test_partitions_are_read_together(now: float, interval: float, later: float) -> None:
    """Whichever process they are in: the moment is that of the wall clock."""
    pace = PollTiming(interval)
    moment = now + pace.wait(now)
    asked = now + later * (moment - now)
    if asked < moment - 1e-6:
        assert asked + pace.wait(asked) == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize(
    "interval,seconds", [(0.1, 0.04), (0.06, 0.024), (0.02, 0.024), (1.0, 0.05), (60.0, 0.02)]
)
def test_a_reading_for_each_commit(interval: float, seconds: float) -> None:
    """Five in two intervals, or more where they are long; very long ones are another matter."""
    assert PollTiming(interval).seconds == pytest.approx(seconds)


def given_records(interval: float) -> CommitTiming:
    """A lane whose transaction was begun, and given records, at 5 s."""
    pace = CommitTiming(interval, 1)
    pace.began(5.0)
    pace.written(5.0)
    return pace


def test_nothing_is_committed_where_nothing_is_open() -> None:
    pace = CommitTiming(0.1, 1)
    pace.written(1.0)
    assert pace.wait(2.0, 0) is None
    pace.began(2.0)
    pace.commits(2.1)
    assert pace.wait(9.0, 0) is None


@pytest.mark.parametrize("workers,quiet", [(1, 0.001), (2, 0.003), (8, 0.003)])
def test_few_records_are_committed_once_no_more_are_given(workers: int, quiet: float) -> None:
    """What several workers have read is waited for a little longer."""
    pace = CommitTiming(0.1, workers)
    pace.began(5.0)
    for written in (5.0, 5.002, 5.004):
        pace.written(written)
        assert pace.wait(written, _FEW) == pytest.approx(quiet)
    assert pace.wait(5.004 + quiet, _FEW) == pytest.approx(0.0, abs=1e-9)


def test_many_records_are_committed_when_the_interval_has_passed() -> None:
    pace = given_records(0.1)
    assert pace.wait(5.04, _MANY) == pytest.approx(0.06)
    assert pace.wait(5.1, _MANY) == pytest.approx(0.0, abs=1e-9)
    assert pace.wait(6.0, _MANY) == 0.0


def test_few_records_wait_no_longer_than_many() -> None:
    """However often more are given."""
    pace = given_records(0.1)
    pace.written(5.099)
    assert pace.wait(5.099, _FEW) == pytest.approx(0.001)


def test_few_records_wait_for_the_commit_before_to_be_a_while_ago() -> None:
    """Brokers are not asked more often because little comes in."""
    pace = CommitTiming(0.1, 1)
    pace.began(5.0)
    pace.commits(5.0)
    pace.began(5.01)
    pace.written(5.01)
    assert pace.wait(5.02, _FEW) == pytest.approx(0.012)


def test_whoever_asks_for_a_long_interval_gets_few_commits() -> None:
    pace = given_records(1.5)
    assert pace.wait(5.5, 1) == pytest.approx(1.0)
