"""Counts the verdicts of a batch by window and event type, and makes statistics records.

A lane summarizes each of its batches, and the changelog keeps the summary with the rest
of the change.  operators/statistics/windowed.py adds the summaries of all lanes up.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from operators.batches import Slice
from operators.changes import Counts, Summary
from operators.columns.arrays import Codes, Floats, Ints
from operators.columns.event_types import EventTypes
from operators.verdicts import LATE, VERDICTS

# Epoch seconds, about the years 385 and 9575.  Bytewax's windows are calendar times of the
# years 1 to 9999, so earlier and later times count in the first or last window between.
_FIRST_SECOND, _LAST_SECOND = -5e10, 2.4e11
# An event type is a word.  A longer one is hostile; it must not make a record that the
# broker rejects.
_MAX_TYPE_LENGTH = 200
# A table with this many cells costs less than sorting a batch.
_DENSE_CELLS = 1024


class Statistic(msgspec.Struct, frozen=True):
    """Verdicts of one event type in one window; written as JSON.

    window_start, window_end: epoch seconds; the end is exclusive.
    """

    window_start: float
    window_end: float
    event_type: str
    unique: int
    duplicate: int
    late: int
    invalid: int


def window_of(time: float, seconds: float) -> int:
    """Return the index of the window of an event time (epoch seconds)."""
    return int(np.floor(np.clip(time, _FIRST_SECOND, _LAST_SECOND) / seconds))


def without_watermark(
    slice_: Slice, rows: slice, marks: Floats, max_event_times: Floats, read_at: float
) -> Floats:
    """Return the watermark before each record of a span, or a substitute where there is none.

    rows: of the span in the slice.  marks: the watermark before each record, −inf for none.
    max_event_times: the largest event time of the partition before each record, −inf for
    none: the first substitute.  read_at: wall clock when the span was read, epoch seconds.
    The second substitute is the record's own timestamp, since it is the same when the
    record is read again; the last one is `read_at`.
    """
    times = np.where(marks > -np.inf, marks, max_event_times)
    unknown = times == -np.inf
    if unknown.any():
        stamps = slice_.records.timestamps
        times[unknown] = read_at
        if stamps is not None:
            own = stamps[slice_.rows[rows]]
            times = np.where(unknown & (own > 0), own / 1000, times)
    return times


def summarize(slice_: Slice, verdicts: Codes, marks: Floats, seconds: float) -> Summary:
    """Summarize a slice of at least one record.

    verdicts: index into `VERDICTS`, one for each record.  marks: the finite watermark before
    each record, or its substitute (`without_watermark`).  seconds: length of the windows.
    Unique and duplicate records count in the window of their event time, late and invalid
    ones in the window of the watermark.  So statistics do not depend on how records are
    cut into slices.
    """
    times = slice_.decided.times
    if verdicts.max() >= LATE:
        times = np.where(verdicts >= LATE, marks, times)
    times = np.minimum(np.maximum(times, _FIRST_SECOND), _LAST_SECOND)
    window_of_each = np.floor(times / seconds).astype(np.int64)
    types = slice_.decided.types
    if types is None:
        types = EventTypes.unknown(len(window_of_each))
    type_count = len(types.names)
    first, last = int(window_of_each.min()), int(window_of_each.max())
    if (last - first + 1) * type_count <= max(len(window_of_each), _DENSE_CELLS):
        windows: Sequence[int] = range(first, last + 1)
        rows = window_of_each - first
    else:
        distinct, rows = np.unique(window_of_each, return_inverse=True)
        windows = distinct.tolist()
    cells, counts = _count(rows * type_count + types.numbers, len(windows) * type_count, verdicts)
    summary = Summary(seconds)
    names = [name[:_MAX_TYPE_LENGTH] for name in types.names]
    for cell, row in zip(cells.tolist(), counts.tolist(), strict=True):
        summary.add(windows[cell // type_count], ((names[cell % type_count], row),))
    return summary


def _count(cells: Ints, cell_count: int, verdicts: Codes) -> tuple[Ints, Ints]:
    """Count the verdicts in each cell.

    cells: index of the cell of each record, less than `cell_count`.  Returns the cells
    that are not empty, in order, and their counts, shape (n, 4).
    """
    width = len(VERDICTS)
    if cell_count <= max(len(cells), _DENSE_CELLS):
        table = np.bincount(cells * width + verdicts, minlength=cell_count * width)
        table = table.reshape(cell_count, width)
        filled = np.flatnonzero(table.any(axis=1))
        return filled, table[filled]
    filled, rows = np.unique(cells, return_inverse=True)
    table = np.bincount(rows * width + verdicts, minlength=len(filled) * width)
    return filled, table.reshape(len(filled), width)


def statistics_of(window: int, seconds: float, counts: Counts) -> list[Statistic]:
    """Make the records of a closed window, sorted by event type."""
    # Rounded to microseconds, so that 0.3 does not become 0.30000000000000004.
    start, end = (round(index * seconds, 6) for index in (window, window + 1))
    if start.is_integer() and end.is_integer():
        start, end = int(start), int(end)
    return [Statistic(start, end, name, *counts[name]) for name in sorted(counts)]
