"""Statistics: the verdicts of a batch by window and event type, and how they are shown.

A lane sums up each of its batches, and the changelog keeps the sums with what else
was decided; operators/statistics/windowed.py adds them up over all lanes.
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

# Bytewax counts windows in the calendar of the years 1 to 9999: times before 385 or
# after 9575 count in the first or last window in between.  Epoch seconds.
_FIRST_SECOND, _LAST_SECOND = -5e10, 2.4e11
# A type is a word; one that is longer than this is hostile, and must not make a
# record that the broker refuses.
_LONGEST_TYPE = 200
# A table of so many cells costs less than sorting a batch.
_DENSE = 1024


class Statistic(msgspec.Struct, frozen=True):
    """Verdicts of one event type in one window; written as JSON.

    window_start, window_end: epoch seconds, the end not included.
    """

    window_start: float
    window_end: float
    event_type: str
    unique: int
    duplicate: int
    late: int
    invalid: int


def window_of(time: float, seconds: float) -> int:
    """Number of the window that an event time (epoch seconds) is in."""
    return int(np.floor(np.clip(time, _FIRST_SECOND, _LAST_SECOND) / seconds))


def without_watermark(
    slice_: Slice, rows: slice, marks: Floats, largest: Floats, read_at: float
) -> Floats:
    """Watermark as each record of a span meets it, or the next best time where there is none.

    rows: of the span in the slice.  marks: the watermark for each of them, −inf for none.
    largest: largest event time of the partition before each, −inf for none: it stands in for
    the watermark.  Before there is that either: the record's own timestamp, which is the
    same when it is read again; for one without, the wall clock when it was read.
    """
    times = np.where(marks > -np.inf, marks, largest)
    unknown = times == -np.inf
    if unknown.any():
        stamps = slice_.records.timestamps
        times[unknown] = read_at
        if stamps is not None:
            own = stamps[slice_.rows[rows]]
            times = np.where(unknown & (own > 0), own / 1000, times)
    return times


def summarize(slice_: Slice, verdicts: Codes, current: Floats, seconds: float) -> Summary:
    """Sum up a slice of at least one record.

    verdicts: a code a record.  current: the watermark as each record meets it, or what
    stands in for it (`without_watermark`), finite.  seconds: length of the windows.
    Unique and duplicate records count in the window of their event time, late and
    invalid ones in that of the watermark.  So how records are cut into slices never shows.
    """
    placed = slice_.decided.times
    if verdicts.max() >= LATE:
        placed = np.where(verdicts >= LATE, current, placed)
    within = np.minimum(np.maximum(placed, _FIRST_SECOND), _LAST_SECOND)
    places = np.floor(within / seconds).astype(np.int64)
    types = slice_.decided.types
    if types is None:
        types = EventTypes.unknown(len(places))
    kinds = len(types.names)
    first, last = int(places.min()), int(places.max())
    if (last - first + 1) * kinds <= max(len(places), _DENSE):
        windows: Sequence[int] = range(first, last + 1)
        rows = places - first
    else:
        found, rows = np.unique(places, return_inverse=True)
        windows = found.tolist()
    cells, counts = _count(rows * kinds + types.numbers, len(windows) * kinds, verdicts)
    summary = Summary(seconds)
    names = [name[:_LONGEST_TYPE] for name in types.names]
    for cell, row in zip(cells.tolist(), counts.tolist(), strict=True):
        summary.add(windows[cell // kinds], ((names[cell % kinds], row),))
    return summary


def _count(cells: Ints, most: int, verdicts: Codes) -> tuple[Ints, Ints]:
    """Count the verdicts in each cell.

    cells: number of the cell of each record, less than `most`.  Returns the cells
    that hold any, in order, and their counts, shape (n, 4).
    """
    width = len(VERDICTS)
    if most <= max(len(cells), _DENSE):
        table = np.bincount(cells * width + verdicts, minlength=most * width).reshape(most, width)
        filled = np.flatnonzero(table.any(axis=1))
        return filled, table[filled]
    filled, rows = np.unique(cells, return_inverse=True)
    table = np.bincount(rows * width + verdicts, minlength=len(filled) * width)
    return filled, table.reshape(len(filled), width)


def statistics_of(window: int, seconds: float, counts: Counts) -> list[Statistic]:
    """Make the records of a closed window, in order of event type."""
    # Rounded to what a length can hold, so that 0.3 does not become 0.30000000000000004.
    start, end = (round(number * seconds, 6) for number in (window, window + 1))
    if start.is_integer() and end.is_integer():
        start, end = int(start), int(end)
    return [Statistic(start, end, name, *counts[name]) for name in sorted(counts)]
