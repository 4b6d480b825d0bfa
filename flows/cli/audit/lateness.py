"""What lateness must be, whatever order the partitions were read in.

Of one partition the watermark is known record by record: it is the largest event time
before.  Of several it depends on the order of reading.  Then these bounds hold always:
it is never above what the record's own partition had before it, or any other partition
has at all, and it is always the event time of some record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flows.cli.audit.accepted_times import Taken
from flows.cli.audit.decoding import CLOCK_SECONDS
from flows.cli.audit.table import InputTable
from operators.columns.arrays import Bools, Floats, Ints
from operators.verdicts import INVALID, LATE

# Rows that are looked at together: what that takes is then a small part of the table.
_ROWS = 500_000
# A number and what it is computed from differ by rounding only: by so many units.
_UNITS = 4
# More than this behind, and the number was cut to what JSON can say.
_CUT = 1e300


@dataclass(frozen=True, slots=True)
class Lateness:
    """Allowed lateness under which records were judged, from the smallest to the largest."""

    smallest: float
    largest: float

    @property
    def changed(self) -> bool:
        """Whether there was more than one."""
        return self.smallest != self.largest


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the watermark as some rows that follow each other met it."""

    rows: slice
    low: Floats
    high: Floats


class WatermarkBounds:
    """Bounds of the watermark, a few rows at a time.

    What was answered as invalid had no part in the watermark; but a record that was in
    the future can have had one later, when it was read again after a restart.  And one
    that another lane took may have been in the future when this lane met it.
    """

    def __init__(self, table: InputTable, taken: Taken, *, latest: float) -> None:
        """taken: which records certainly count.

        latest: later event times no job has taken; the bound where input was deleted.
        """
        self._table = table
        self._taken = taken
        self._latest = latest
        self._one = len(table.ranges) == 1
        self._most = {
            partition: float(np.fmax.reduce(table.times[first:last], initial=-np.inf))
            for partition, (first, last) in table.ranges.items()
        }

    def __iter__(self) -> Iterator[Bounds]:
        """Go through all rows."""
        for partition, (first, last) in self._table.ranges.items():
            others = max((m for p, m in self._most.items() if p != partition), default=-np.inf)
            high = -np.inf
            self._taken.begin()
            for begin in range(first, last, _ROWS):
                rows = slice(begin, min(begin + _ROWS, last))
                times = np.concatenate(([high], self._table.times[rows]))
                running = np.fmax.accumulate(times)
                highs, high = running[:-1], float(running[-1])
                if self._table.deleted:
                    highs.fill(self._latest)
                yield Bounds(
                    rows,
                    self._taken.before(rows) if self._one else np.full(len(highs), -np.inf),
                    np.maximum(highs, others),
                )

    def high(self, wanted: Ints) -> Floats:
        """Return the upper bound at some rows."""
        found = np.full(len(wanted), np.inf)
        for bounds in self:
            mine = (wanted >= bounds.rows.start) & (wanted < bounds.rows.stop)
            found[mine] = bounds.high[wanted[mine] - bounds.rows.start]
        return found


def latest_time(now: float, max_future: float) -> float:
    """Return the largest event time that a job with a right clock can have taken so far."""
    return now + max_future + CLOCK_SECONDS


def wrong_lateness(table: InputTable, bounds: WatermarkBounds, lateness: Lateness) -> Ints:
    """Rows that are late and cannot be, or the reverse."""
    found = [np.zeros(0, np.int64)]
    for part in bounds:
        times, verdicts = table.times[part.rows], table.verdicts[part.rows]
        late = verdicts == LATE
        judged = ~np.isnan(times) & (verdicts >= 0) & (verdicts != INVALID)
        # Differences of the largest doubles may be infinite.
        with np.errstate(over="ignore"):
            never = ~(times < part.high - lateness.smallest)
            surely = times < part.low - lateness.largest
        wrong = judged & np.where(late, never, surely)
        found.append(np.flatnonzero(wrong) + part.rows.start)
    return np.concatenate(found)


def wrong_seconds(
    table: InputTable,
    bounds: WatermarkBounds,
    lateness: Lateness,
    told: tuple[Ints, Floats],
) -> list[tuple[int, float]]:
    """Late rows whose number of seconds behind the watermark cannot be, and that number.

    told: rows, and what their answers say.
    """
    rows, seconds = told
    order = np.argsort(rows, kind="stable")
    rows, seconds = rows[order], seconds[order]
    known = (table.verdicts[rows] == LATE) & ~np.isnan(table.times[rows]) & (seconds < _CUT)
    rows, seconds = rows[known], seconds[known]
    if not len(rows):
        return []
    times = table.times[rows]
    with np.errstate(over="ignore"):
        marks = times + seconds
    slack = _UNITS * np.spacing(np.maximum(np.abs(times), np.abs(marks)))
    wrong = seconds < lateness.smallest - slack
    for part in bounds:
        at = slice(*np.searchsorted(rows, (part.rows.start, part.rows.stop)).tolist())
        place = rows[at] - part.rows.start
        wrong[at] |= marks[at] > part.high[place] + slack[at]
        wrong[at] |= marks[at] < part.low[place] - slack[at]
    if not table.deleted:
        wrong |= ~_among(table, marks, slack)
    return list(zip(rows[wrong].tolist(), seconds[wrong].tolist(), strict=True))


def _among(table: InputTable, marks: Floats, slack: Floats) -> Bools:
    """Whether watermarks are event times of some record, but for rounding."""
    times = np.sort(table.times)  # NaN comes last
    at = np.searchsorted(times, marks - slack)
    there: Bools = at < len(times)
    there[there] = times[at[there]] <= (marks + slack)[there]
    return there
