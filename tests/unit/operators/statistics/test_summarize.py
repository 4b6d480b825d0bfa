"""Sums of verdicts by window and event type, against an obvious count."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.batches import FILE, DecisionColumns, Records, Slice, Span, Spans
from operators.changes import Summary
from operators.columns.event_types import EventTypes
from operators.statistics.summarize import (
    Statistic,
    statistics_of,
    summarize,
    window_of,
    without_watermark,
)
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VERDICTS

INF = math.inf
# Event time, event type, verdict.
Row = tuple[float, str, int]


def slice_of(rows: Sequence[Row], *, stamps: Sequence[int] | None = None) -> Slice:
    count = len(rows)
    times = np.array([math.nan if row[2] == INVALID else row[0] for row in rows])
    types = EventTypes.of([row[1] for row in rows])
    empty = np.zeros((count, 1, 2), np.uint64)
    return Slice(
        lane=0,
        spans=Spans.of(Span(FILE, 0, count, 9e8), count),
        records=Records(
            np.arange(count),
            [b""] * count,
            timestamps=None if stamps is None else np.array(stamps),
        ),
        rows=np.arange(count),
        decided=DecisionColumns(times, times, empty, types=types),
        max_event_times=(-INF,),
    )


def summary_of(
    rows: Sequence[Row], watermark: float | Sequence[float], seconds: float
) -> dict[int, dict[str, list[int]]]:
    verdicts = np.array([row[2] for row in rows], np.int8)
    current = np.array(watermark) if isinstance(watermark, list) else np.full(len(rows), watermark)
    return summarize(slice_of(rows), verdicts, current, seconds).windows


def counted(rows: Sequence[Row], watermark: float, seconds: float) -> Counter[tuple[int, str, int]]:
    """The obvious count: one record after another."""
    counts: Counter[tuple[int, str, int]] = Counter()
    for time, name, verdict in rows:
        own = time if verdict in {UNIQUE, DUPLICATE} else watermark
        counts[math.floor(own / seconds), name, verdict] += 1
    return counts


def cells_of(windows: dict[int, dict[str, list[int]]]) -> Counter[tuple[int, str, int]]:
    cells: Counter[tuple[int, str, int]] = Counter()
    for window, types in windows.items():
        for name, counts in types.items():
            assert len(counts) == len(VERDICTS)
            for verdict, count in enumerate(counts):
                cells[window, name, verdict] = count
    return +cells


times = st.floats(-1e9, 1e10) | st.sampled_from([0.0, -0.5, 59.999, 60.0, 3600.0])
rows = st.tuples(times, st.sampled_from(["", "paid", "shipped", "ä", "x" * 200]), st.integers(0, 3))


@given(
    st.lists(rows, min_size=1, max_size=60),
    st.floats(-1e9, 1e10),
    st.sampled_from([0.001, 0.3, 1.0, 60.0, 86_400.0, 1e9]),
)
def test_sums_are_those_of_an_obvious_count(
    stream: list[Row], watermark: float, seconds: float
) -> None:
    assert cells_of(summary_of(stream, watermark, seconds)) == counted(stream, watermark, seconds)


def test_many_types_and_windows_are_counted_too() -> None:
    stream: list[Row] = [(float(n % 97), f"type-{n % 500}", n % 4) for n in range(5000)]
    assert cells_of(summary_of(stream, 1000.0, 1.0)) == counted(stream, 1000.0, 1.0)


@pytest.mark.parametrize(
    "time, verdict, window",
    [
        # Windows of 60 s; the watermark is 150, in window 2.
        (59.999, UNIQUE, 0),
        (60.0, UNIQUE, 1),  # the end is not in it
        (-0.001, UNIQUE, -1),
        (300.0, DUPLICATE, 5),  # ahead of the watermark
        (10.0, LATE, 2),  # in that of the watermark, not its own
        (10.0, INVALID, 2),
    ],
)
def test_which_window_a_record_counts_in(time: float, verdict: int, window: int) -> None:
    assert list(summary_of([(time, "t", verdict)], 150.0, 60.0)) == [window]


def test_each_record_counts_where_the_watermark_is_when_it_comes() -> None:
    late: list[Row] = [(0.0, "t", LATE), (0.0, "t", LATE), (0.0, "", INVALID)]
    assert summary_of(late, [59.0, 60.0, 600.0], 60.0) == {
        0: {"t": [0, 0, 1, 0]},
        1: {"t": [0, 0, 1, 0]},
        10: {"": [0, 0, 0, 1]},
    }


@pytest.mark.parametrize(
    "stamps, expected",
    [
        (None, [50.0, 20.0, 7e8, 7e8]),  # the watermark, its partition's time, the wall clock
        ([1000, 2000, 3500, 0], [50.0, 20.0, 3.5, 7e8]),  # before the clock: the record's own
    ],
)
def test_before_there_is_a_watermark_the_next_best_time_counts(
    stamps: list[int] | None, expected: list[float]
) -> None:
    slice_ = slice_of([(0.0, "", INVALID)] * 4, stamps=stamps)
    marks, largest = np.array([50.0, -INF, -INF, -INF]), np.array([90.0, 20.0, -INF, -INF])
    times = without_watermark(slice_, slice(0, 4), marks, largest, 7e8)
    assert times.tolist() == expected


@pytest.mark.parametrize("time", [-1.7e308, -6.3e10, 2.5e11, 1.7e308])
@pytest.mark.parametrize("seconds", [0.001, 60.0, 1e9])
def test_times_outside_of_the_calendar_are_counted(time: float, seconds: float) -> None:
    [window] = summary_of([(time, "t", UNIQUE)], 0.0, seconds)
    assert window == window_of(time, seconds)
    assert -6.3e10 < window * seconds < 2.5e11


def test_a_type_that_is_too_long_is_cut() -> None:
    stream: list[Row] = [(0.0, "x" * 300, UNIQUE), (0.0, "x" * 400, UNIQUE), (0.0, "x", LATE)]
    assert summary_of(stream, 0.0, 60.0) == {0: {"x" * 200: [2, 0, 0, 0], "x": [0, 0, 1, 0]}}


def test_without_types_everything_has_the_empty_one() -> None:
    slice_ = slice_of([(0.0, "t", UNIQUE)])
    slice_.decided.types = None
    assert summarize(slice_, np.zeros(1, np.int8), np.zeros(1), 60.0).windows == {
        0: {"": [1, 0, 0, 0]}
    }


def test_summaries_are_joined_and_left_as_they_are() -> None:
    first = Summary(60.0, {0: {"a": [1, 0, 0, 0]}, 1: {"a": [1, 2, 3, 4]}})
    second = Summary(60.0, {1: {"a": [10, 0, 0, 0], "b": [0, 0, 0, 1]}})
    total = Summary.add_up([first, None, second])
    assert total == Summary(
        60.0, {0: {"a": [1, 0, 0, 0]}, 1: {"a": [11, 2, 3, 4], "b": [0, 0, 0, 1]}}
    )
    assert first.windows[1] == {"a": [1, 2, 3, 4]}
    assert Summary.add_up([None]) is None


def test_parts_of_a_summary_join_to_it() -> None:
    whole = Summary(60.0, {w: {f"t{n}": [w, n, 0, 0] for n in range(7)} for w in range(3)})
    parts = list(whole.parts(4))
    assert [sum(map(len, part.windows.values())) for part in parts] == [4, 4, 4, 4, 4, 1]
    assert Summary.add_up(parts) == whole


def test_a_window_becomes_one_record_a_type() -> None:
    assert statistics_of(28_333_334, 60.0, {"b": [1, 2, 3, 4], "a": [5, 0, 0, 0]}) == [
        Statistic(1_700_000_040, 1_700_000_100, "a", 5, 0, 0, 0),
        Statistic(1_700_000_040, 1_700_000_100, "b", 1, 2, 3, 4),
    ]
    [statistic] = statistics_of(3, 0.1, {"": [1, 0, 0, 0]})
    assert (statistic.window_start, statistic.window_end) == (0.3, 0.4)
