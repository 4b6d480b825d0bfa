"""The watermark over input partitions, in tables."""

import math

import numpy as np
import pytest

from operators.batches import Spans
from operators.lanes.watermark import Watermark
from tests.builders import span_of

INF = math.inf
NO_ROWS = np.zeros(0)


def of(
    partitions: int = 2, value: float = -INF, known: dict[int, float] | None = None
) -> Watermark:
    """A watermark over so many partitions."""
    watermark = Watermark(value, known)
    watermark.expect(range(partitions))
    return watermark


def move(watermark: Watermark, partition: int, time: float, **more: bool) -> None:
    """Move it past a span without rows; time: the largest event time of the span."""
    spans = Spans.of(span_of(partition, 0, 0, 1000.0, **more), 0)
    watermark.advance(spans, [partition], NO_ROWS, [time])


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
    watermark = of()
    for (partition, largest), value in zip(moves, values, strict=True):
        move(watermark, partition, largest)
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
    watermark = of()
    for (partition, largest, idle), value in zip(moves, values, strict=True):
        move(watermark, partition, largest, idle=idle)
        assert watermark.value == value


def test_an_ended_partition_turns_idle_when_its_time_is_up() -> None:
    watermark = of()
    move(watermark, 0, 5)
    move(watermark, 1, 3, ended=True)  # read at 1000
    move(watermark, 0, 9)
    assert watermark.value == 3
    watermark.idle_ended(1029.9, 30)
    move(watermark, 0, 9)
    assert watermark.value == 3
    watermark.idle_ended(1030, 30)
    move(watermark, 0, 9)
    assert watermark.value == 9


def test_a_new_partition_holds_it_where_it_is_until_heard_from() -> None:
    watermark = of()
    move(watermark, 0, 5)
    move(watermark, 1, 7)
    watermark.expect(range(3))
    move(watermark, 0, 9)
    assert watermark.value == 5
    move(watermark, 2, 6)
    assert watermark.value == 6


def test_a_partition_whose_topic_was_deleted_holds_it_no_longer() -> None:
    watermark = of()
    move(watermark, 0, 5)
    move(watermark, 1, 3)
    move(watermark, 1, -INF, gone=True)
    assert watermark.value == 5
    watermark.expect(range(2))  # another worker has not heard of it yet
    move(watermark, 0, 9)
    assert watermark.value == 9


def test_after_a_restart_it_goes_on_where_it_was() -> None:
    watermark = of(2, 5.0, {0: 9.0, 1: 5.0})
    move(watermark, 1, 6)
    assert watermark.value == 6
    move(watermark, 1, 20)
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
    watermark = of(2, value, known)
    spans = Spans.of(span_of(0, 0, 9), len(running_max))
    met, before = watermark.advance(spans, [0], np.array(running_max), [-INF])
    assert met.tolist() == marks
    assert before.tolist() == [-INF if own is None else own]


def test_alone_a_partition_meets_its_own_past_even_if_it_was_idle() -> None:
    watermark = of(1)
    move(watermark, 0, 5)
    move(watermark, 0, -INF, idle=True)
    spans = Spans.of(span_of(0, 0, 9), 2)
    marks, _ = watermark.advance(spans, [0], np.array([-INF, 6.0]), [6.0])
    assert marks.tolist() == [5, 6]


@pytest.mark.parametrize("partitions", [2, 40])
def test_many_spans_at_once_move_it_as_one_after_the_other(partitions: int) -> None:
    random = np.random.default_rng(partitions)
    whole, single = of(partitions), of(partitions)
    for _ in range(20):
        numbers = random.integers(0, partitions, 30).tolist()
        sizes = random.integers(0, 4, 30)
        times = random.normal(0, 100, int(sizes.sum()))
        ends = np.cumsum(sizes).tolist()
        spans = Spans([span_of(n, 0, 0, idle=random.random() < 0.2) for n in numbers], ends)
        running, largest = [], []
        for _, rows in spans:
            own = np.concatenate(([-INF], np.maximum.accumulate(times[rows])))
            running += own[:-1].tolist()
            largest.append(float(own[-1]))
        marks, before = whole.advance(spans, numbers, np.array(running), largest)
        for at, (span, rows) in enumerate(spans):
            one = Spans.of(span, rows.stop - rows.start)
            alone = single.advance(one, [numbers[at]], np.array(running)[rows], [largest[at]])
            assert alone[0].tolist() == marks[rows].tolist()
            assert alone[1].tolist() == [before[at]]
        assert (whole.value, whole.max_event_times) == (single.value, single.max_event_times)
