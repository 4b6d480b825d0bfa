"""The watermark before each record of a slice: what makes a record late."""

from __future__ import annotations

import numpy as np

from operators.batches import Slice
from operators.columns.arrays import Floats
from operators.lanes.watermark import Watermark
from operators.statistics.summarize import without_watermark


def advance(
    watermark: Watermark, slice_: Slice, idle_seconds: float, *, statistics: bool
) -> tuple[Floats, Floats]:
    """Move a watermark past a slice; return the watermark before each of its records.

    Returns it a second time for statistics, which need a time even before there is a
    watermark (`without_watermark`); the same array without statistics.
    """
    marks = np.empty(len(slice_))
    substitutes = []
    spans = zip(slice_.spans, slice_.max_event_times, strict=True)
    for (span, rows), max_event_time in spans:
        watermark.idle_ended(span.read_at, idle_seconds)
        if rows.start < rows.stop:
            running_max = slice_.decided.running_max[rows]
            marks[rows] = watermark.before_each(span, running_max)
            if statistics and marks[rows.start] == -np.inf:
                own = watermark.max_event_time_before_each(span, running_max)
                times = without_watermark(slice_, rows, marks[rows], own, span.read_at)
                substitutes.append((rows, times))
        watermark.advance(span, max_event_time)
    if not substitutes:
        return marks, marks
    statistics_marks = marks.copy()
    for rows, times in substitutes:
        statistics_marks[rows] = times
    return marks, statistics_marks
