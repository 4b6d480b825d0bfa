"""Checks of lateness that hold in every order of reading the partitions.

With one partition, the watermark at each record is known: it is the largest event time
before it.  With several, it depends on the order of reading, but two things are certain.
It is never above the larger of two times: the largest before the record in its own
partition, and the largest in all other partitions.  And it is some record's event time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flows.cli.audit.accepted_times import AcceptedTimes
from flows.cli.audit.decoding import CLOCK_SECONDS
from flows.cli.audit.table import InputTable
from operators.columns.arrays import Bools, Floats, Ints
from operators.verdicts import INVALID, LATE

# Rows that are checked together: few enough to take little memory beside the table.
_CHUNK_ROWS = 500_000
# A number of seconds differs from times only by rounding: at most by this many units in the
# last place.
_MAX_ROUNDING_UNITS = 4
# Larger numbers of seconds are cut to the largest that JSON can hold.
_MAX_SECONDS = 1e300


@dataclass(frozen=True, slots=True)
class Lateness:
    """Smallest and largest allowed lateness that the job had when it judged the records."""

    smallest: float
    largest: float

    @property
    def changed(self) -> bool:
        """Whether the allowed lateness changed."""
        return self.smallest != self.largest


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the watermark at consecutive rows."""

    rows: slice
    low: Floats
    high: Floats


class WatermarkBounds:
    """Bounds of the watermark, for chunks of rows.

    Invalid records do not count for the watermark.  But one that was in the future may
    have counted later, when it was read again after a restart.  And a record that another
    lane accepted may have been in the future when this lane met it.
    """

    def __init__(self, table: InputTable, accepted: AcceptedTimes, *, latest: float) -> None:
        """accepted: event times that certainly count.

        latest: no job has accepted a later event time; the bound where input is incomplete.
        """
        self._table = table
        self._accepted = accepted
        self._latest = latest
        # An earlier topic held the watermark back until the job knew that it was gone.
        self._single = len(table.ranges) == 1 and not table.earlier
        self._max_of_partition = {
            partition: float(np.fmax.reduce(table.times[first:last], initial=-np.inf))
            for partition, (first, last) in table.ranges.items()
        }

    def __iter__(self) -> Iterator[Bounds]:
        """Yield the bounds of all rows, in order."""
        for partition, (first, last) in self._table.ranges.items():
            largest_elsewhere = max(
                (
                    largest
                    for other, largest in self._max_of_partition.items()
                    if other != partition
                ),
                default=-np.inf,
            )
            high = -np.inf
            self._accepted.begin()
            for begin in range(first, last, _CHUNK_ROWS):
                rows = slice(begin, min(begin + _CHUNK_ROWS, last))
                times = np.concatenate(([high], self._table.times[rows]))
                running = np.fmax.accumulate(times)
                highs, high = running[:-1], float(running[-1])
                if self._table.incomplete:
                    highs.fill(self._latest)
                yield Bounds(
                    rows,
                    self._accepted.before(rows) if self._single else np.full(len(highs), -np.inf),
                    np.maximum(highs, largest_elsewhere),
                )

    def high(self, rows: Ints) -> Floats:
        """Upper bounds at these rows."""
        highs = np.full(len(rows), np.inf)
        for bounds in self:
            inside = (rows >= bounds.rows.start) & (rows < bounds.rows.stop)
            highs[inside] = bounds.high[rows[inside] - bounds.rows.start]
        return highs


def latest_time(now: float, max_future: float) -> float:
    """Largest event time that a job with a right clock can have accepted until now."""
    return now + max_future + CLOCK_SECONDS


def wrong_lateness(table: InputTable, bounds: WatermarkBounds, lateness: Lateness) -> Ints:
    """Rows that are late and cannot be, or that must be late and are not."""
    wrong_rows = [np.zeros(0, np.int64)]
    for part in bounds:
        times, verdicts = table.times[part.rows], table.verdicts[part.rows]
        late = verdicts == LATE
        judged = ~np.isnan(times) & (verdicts >= 0) & (verdicts != INVALID)
        # The difference of very large doubles may be infinite.
        with np.errstate(over="ignore"):
            never = ~(times < part.high - lateness.smallest)
            surely = times < part.low - lateness.largest
        wrong = judged & np.where(late, never, surely)
        wrong_rows.append(np.flatnonzero(wrong) + part.rows.start)
    return np.concatenate(wrong_rows)


def wrong_seconds(
    table: InputTable,
    bounds: WatermarkBounds,
    lateness: Lateness,
    reported: tuple[Ints, Floats],
) -> list[tuple[int, float]]:
    """Late rows with an impossible number of seconds behind the watermark, and that number.

    reported: rows, and the seconds in their answers.
    """
    rows, seconds = reported
    order = np.argsort(rows, kind="stable")
    rows, seconds = rows[order], seconds[order]
    known = (table.verdicts[rows] == LATE) & ~np.isnan(table.times[rows]) & (seconds < _MAX_SECONDS)
    rows, seconds = rows[known], seconds[known]
    if not len(rows):
        return []
    times = table.times[rows]
    with np.errstate(over="ignore"):
        watermarks = times + seconds
    slack = _MAX_ROUNDING_UNITS * np.spacing(np.maximum(np.abs(times), np.abs(watermarks)))
    wrong = seconds < lateness.smallest - slack
    for part in bounds:
        at = slice(*np.searchsorted(rows, (part.rows.start, part.rows.stop)).tolist())
        place = rows[at] - part.rows.start
        wrong[at] |= watermarks[at] > part.high[place] + slack[at]
        wrong[at] |= watermarks[at] < part.low[place] - slack[at]
    if not table.incomplete:
        wrong |= ~_is_event_time(table, watermarks, slack)
    return list(zip(rows[wrong].tolist(), seconds[wrong].tolist(), strict=True))


def _is_event_time(table: InputTable, watermarks: Floats, slack: Floats) -> Bools:
    """Whether each watermark is, within the slack, the event time of a record."""
    times = np.sort(table.times)  # NaN comes last
    at = np.searchsorted(times, watermarks - slack)
    exists: Bools = at < len(times)
    exists[exists] = times[at[exists]] <= (watermarks + slack)[exists]
    return exists
