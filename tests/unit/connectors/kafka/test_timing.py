"""When sources read and lanes commit at low load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.timing import CommitTiming, PollTiming

_CLOCK = st.floats(1.6e9, 2.0e9)
_INTERVALS = st.floats(0.001, 60.0)
_FEW, _MANY = 1_000, 1_001


@given(_CLOCK, _INTERVALS)
def test_a_reading_comes_soon_but_not_at_once(now: float, interval: float) -> None:
    """Not at once: a source that has just read would find nothing."""
    timing = PollTiming(interval)
    assert 0.02 <= timing.seconds <= 0.05
    assert 0.0 < timing.wait(now) <= timing.seconds


@given(_CLOCK, _INTERVALS, st.floats(0.0, 1.0, exclude_max=True))
def test_partitions_are_read_together(now: float, interval: float, later: float) -> None:
    """In all processes: the wall clock gives the moment."""
    timing = PollTiming(interval)
    moment = now + timing.wait(now)
    asked = now + later * (moment - now)
    if asked < moment - 1e-6:
        assert asked + timing.wait(asked) == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize(
    "interval,seconds", [(0.1, 0.04), (0.06, 0.024), (0.02, 0.024), (1.0, 0.05), (60.0, 0.02)]
)
def test_a_reading_for_each_commit(interval: float, seconds: float) -> None:
    """Five in two intervals, more if they are long; very long intervals do not count."""
    assert PollTiming(interval).seconds == pytest.approx(seconds)


def lane_with_records(interval: float) -> CommitTiming:
    """A lane that began its transaction and received records at 5 s."""
    timing = CommitTiming(interval, 1)
    timing.began(5.0)
    timing.written(5.0)
    return timing


def test_nothing_is_committed_where_nothing_is_open() -> None:
    timing = CommitTiming(0.1, 1)
    timing.written(1.0)
    assert timing.wait(2.0, 0) is None
    timing.began(2.0)
    timing.commits(2.1)
    assert timing.wait(9.0, 0) is None


@pytest.mark.parametrize("workers,quiet", [(1, 0.001), (2, 0.003), (8, 0.003)])
def test_few_records_are_committed_when_no_more_arrive(workers: int, quiet: float) -> None:
    """With several workers the lane waits a little longer for their records."""
    timing = CommitTiming(0.1, workers)
    timing.began(5.0)
    for written in (5.0, 5.002, 5.004):
        timing.written(written)
        assert timing.wait(written, _FEW) == pytest.approx(quiet)
    assert timing.wait(5.004 + quiet, _FEW) == pytest.approx(0.0, abs=1e-9)


def test_many_records_are_committed_when_the_interval_has_passed() -> None:
    timing = lane_with_records(0.1)
    assert timing.wait(5.04, _MANY) == pytest.approx(0.06)
    assert timing.wait(5.1, _MANY) == pytest.approx(0.0, abs=1e-9)
    assert timing.wait(6.0, _MANY) == 0.0


def test_few_records_wait_no_longer_than_many() -> None:
    """However often more arrive."""
    timing = lane_with_records(0.1)
    timing.written(5.099)
    assert timing.wait(5.099, _FEW) == pytest.approx(0.001)


def test_few_records_wait_for_some_time_after_the_last_commit() -> None:
    """At low load brokers get no more requests."""
    timing = CommitTiming(0.1, 1)
    timing.began(5.0)
    timing.commits(5.0)
    timing.began(5.01)
    timing.written(5.01)
    assert timing.wait(5.02, _FEW) == pytest.approx(0.012)


def test_a_long_interval_gets_few_commits() -> None:
    timing = lane_with_records(1.5)
    assert timing.wait(5.5, 1) == pytest.approx(1.0)
