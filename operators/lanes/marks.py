"""The watermark before each record of a slice: what makes a record late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.batches import Slice
from operators.columns.arrays import Floats
from operators.lanes.watermark import Watermark
from operators.statistics.summarize import without_watermark


def advance(
    watermark: Watermark,
    slice_: Slice,
    partitions: Sequence[int],
    idle_seconds: float,
    *,
    statistics: bool,
) -> tuple[Floats, Floats]:
    """Move a watermark past a slice; return the watermark before each of its records.

    partitions: number of each span's partition.  Returns it a second time for statistics, which
    need a time even before there is a watermark (`without_watermark`); the same array without
    statistics.
    """
    spans, running_max = slice_.spans, slice_.decided.running_max
    watermark.idle_ended(spans.read_at, idle_seconds)
    marks, before = watermark.advance(spans, partitions, running_max, slice_.max_event_times)
    if not statistics or not len(marks) or marks[0] > -np.inf:
        return marks, marks
    statistics_marks = marks.copy()
    for (span, rows), known in zip(spans, before.tolist(), strict=True):
        if rows.start < rows.stop and marks[rows.start] == -np.inf:
            own = np.maximum(running_max[rows], known)
            statistics_marks[rows] = without_watermark(slice_, rows, marks[rows], own, span.read_at)
    return marks, statistics_marks
