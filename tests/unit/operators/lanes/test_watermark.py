"""The watermark over input partitions, in tables."""

import math

import numpy as np
import pytest

from operators.batches import Span
from operators.lanes.watermark import Watermark

INF = math.inf


def span(partition: int, partitions: int = 2, *, idle: bool = False, ended: bool = False) -> Span:
    return Span(partition, partitions, 0, 0, 1000.0, idle=idle, ended=ended)


@pytest.mark.parametrize(
    "moves, values",
    [
        # partition, largest event time of the slice
        ([(0, 5), (0, 3), (0, 9)], [-INF, -INF, -INF]),  # partition 1 has not been heard from
        ([(0, 5), (1, 3), (1, 9), (0, 7)], [-INF, 3, 5, 7]),
        ([(0, 5), (1, 3), (1, -INF), (0, -INF)], [-INF, 3, 3, 3]),  # slices without valid records
        ([(0, 5), (1, -INF), (1, 2)], [-INF, -INF, 2]),  # invalid records say nothing of time
        ([(0, -5), (1, -7)], [-INF, -7]),
        ([(0, 5), (1, 5), (1, 1)], [-INF, 5, 5]),  # never back
    ],
)
def test_it_is_the_smallest_of_the_largest(
    moves: list[tuple[int, float]], values: list[float]
) -> None:
    watermark = Watermark()
    for (partition, largest), value in zip(moves, values, strict=True):
        watermark.advance(span(partition), largest)
        assert watermark.value == value


@pytest.mark.parametrize(
    "moves, values",
    [
        # partition, largest event time of the slice, whether idle
        ([(0, 5, False), (1, -INF, True)], [-INF, 5]),  # never heard from, but idle
        ([(0, 5, False), (1, 3, False), (1, -INF, True), (0, 9, False)], [-INF, 3, 5, 9]),
        ([(0, 5, False), (1, -INF, True), (1, 2, False), (0, 9, False)], [-INF, 5, 5, 5]),  # awake
        ([(0, 5, False), (1, 3, False), (0, -INF, True), (1, -INF, True)], [-INF, 3, 3, 3]),
        ([(0, -INF, True), (1, -INF, True), (1, 4, False)], [-INF, -INF, 4]),
        ([(0, 5, False), (0, -INF, True), (1, 3, False)], [-INF, -INF, 3]),
        ([(0, 5, True), (1, 9, False)], [-INF, 9]),  # a last slice that is idle already
    ],
)
def test_idle_partitions_do_not_hold_it_back(
    moves: list[tuple[int, float, bool]], values: list[float]
) -> None:
    watermark = Watermark()
    for (partition, largest, idle), value in zip(moves, values, strict=True):
        watermark.advance(span(partition, idle=idle), largest)
        assert watermark.value == value


def test_an_ended_partition_turns_idle_when_its_time_is_up() -> None:
    watermark = Watermark()
    watermark.advance(span(0), 5)
    watermark.advance(span(1, ended=True), 3)  # read at 1000
    watermark.advance(span(0), 9)
    assert watermark.value == 3
    watermark.idle_ended(1029.9, 30)
    watermark.advance(span(0), 9)
    assert watermark.value == 3
    watermark.idle_ended(1030, 30)
    watermark.advance(span(0), 9)
    assert watermark.value == 9


def test_a_new_partition_holds_it_where_it_is_until_heard_from() -> None:
    watermark = Watermark()
    watermark.advance(span(0), 5)
    watermark.advance(span(1), 7)
    watermark.advance(span(0, 3), 9)
    assert watermark.value == 5
    watermark.advance(span(2, 3), 6)
    assert watermark.value == 6


def test_after_a_restart_it_goes_on_where_it_was() -> None:
    watermark = Watermark(5.0, {0: 9.0, 1: 5.0})
    watermark.advance(span(1), 6)
    assert watermark.value == 6
    watermark.advance(span(1), 20)
    assert watermark.value == 9


@pytest.mark.parametrize(
    "own, other, value, running_max, marks",
    [
        (None, None, -INF, [-INF, 5, 5], [-INF, -INF, -INF]),  # the other is not heard from
        (None, 10, -INF, [-INF, 5, 5, 8], [-INF, 5, 5, 8]),  # record by record
        (None, 10, -INF, [-INF, 5, 20], [-INF, 5, 10]),  # the other holds it back
        (7, 10, 7, [-INF, 5, 8], [7, 7, 8]),
        (7, 10, 9, [-INF, 5, 8], [9, 9, 9]),  # never back
        (7, -3, -3, [-INF, 50], [-3, -3]),
    ],
)
def test_each_record_meets_what_came_before_it(
    own: float | None,
    other: float | None,
    value: float,
    running_max: list[float],
    marks: list[float],
) -> None:
    known = {partition: time for partition, time in enumerate((own, other)) if time is not None}
    watermark = Watermark(value, known)
    assert watermark.before_each(span(0), np.array(running_max)).tolist() == marks
    assert watermark.value == value  # only `advance` moves it


def test_alone_a_partition_meets_its_own_past_even_if_it_was_idle() -> None:
    watermark = Watermark()
    watermark.advance(span(0, 1), 5)
    watermark.advance(span(0, 1, idle=True), -INF)
    assert watermark.before_each(span(0, 1), np.array([-INF, 6.0])).tolist() == [5, 6]
