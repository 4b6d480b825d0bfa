"""The watermark before each record of a slice, and its substitute for statistics."""

import numpy as np

from operators.batches import Slice, Spans
from operators.lanes.marks import advance
from operators.lanes.watermark import Watermark
from tests.builders import INF, READ_AT, slice_of, span_of


def two_partitions() -> Slice:
    """Two records of partition 0, then one of partition 1."""
    slice_ = slice_of(0, [(50.0, "a"), (60.0, "b"), (40.0, "c")])
    slice_.decided.running_max = np.array([-INF, 50.0, -INF])
    spans = [span_of(0, 0, 2), span_of(1, 2, 3)]
    slice_.spans = Spans(spans, [2, 3])
    slice_.max_event_times = (60.0, 40.0)
    return slice_


def test_each_span_moves_the_watermark_for_the_next_one() -> None:
    watermark = Watermark(10.0, {0: 30.0, 1: 35.0})
    marks, statistics_marks = advance(watermark, two_partitions(), (0, 1), 30.0, statistics=False)

    assert marks.tolist() == [30.0, 35.0, 35.0]
    assert watermark.value == 40.0
    assert statistics_marks is marks


def test_before_there_is_a_watermark_statistics_get_a_substitute() -> None:
    marks, statistics_marks = advance(Watermark(), two_partitions(), (0, 1), 30.0, statistics=True)

    assert marks.tolist() == [-INF, -INF, -INF]
    # The clock for the first record, then the partition's own largest event time.
    assert statistics_marks.tolist() == [READ_AT, 50.0, READ_AT]


def test_a_slice_without_records_moves_the_watermark_too() -> None:
    watermark = Watermark(10.0, {0: 30.0, 1: 10.0})
    watermark.expect((0, 1))
    idle = slice_of(5, [], partition=1, partitions=2, idle=True)
    marks, _ = advance(watermark, idle, (1,), 30.0, statistics=True)

    assert (len(marks), watermark.value) == (0, 30.0)
