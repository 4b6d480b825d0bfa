"""Which event times a lane had certainly taken before it judged a record.

Lanes commit on their own.  One may have answered a record long before another lane,
killed in between, reads what came before that record again.  By then the clock is
later, and takes what was in the future for the first lane.
"""

from __future__ import annotations

import numpy as np

from flows.cli.audit.table import InputTable
from operators.columns.arrays import Floats
from operators.verdicts import INVALID

# 2026-01-01: no job of this program has read anything before.
NO_JOB_BEFORE = 1_767_225_600.0


class Taken:
    """Largest event times that were taken, some rows of one partition at a time.

    A lane has certainly met what it took itself, in the order of the partition, and what
    was in no clock's future.
    """

    def __init__(self, table: InputTable, *, dropped: bool, together: bool) -> None:
        """dropped: whether records may have been answered and left no trace.

        together: whether all lanes commit at once; then what one took all have met.
        """
        self._table = table
        self._dropped = dropped
        self._together = together
        self._largest: dict[int, float] = {}
        self._sure = -np.inf

    def begin(self) -> None:
        """Begin a partition."""
        self._largest.clear()
        self._sure = -np.inf

    def before(self, rows: slice) -> Floats:
        """Largest event time that was certainly taken before each of the next rows."""
        table = self._table
        verdicts = table.verdicts[rows]
        taken = (verdicts != INVALID) & (self._dropped | (verdicts >= 0))
        times = np.where(taken, table.times[rows], np.nan)
        never_ahead = (times <= NO_JOB_BEFORE) | table.in_time[rows]
        sure = np.ones(len(times), np.bool_) if self._together else never_ahead
        found, self._sure = _running(np.where(sure, times, np.nan), self._sure)
        if not sure.all():
            np.fmax(found, self._of_own_lanes(rows, times), out=found)
        return found

    def _of_own_lanes(self, rows: slice, times: Floats) -> Floats:
        lanes = self._table.lanes[rows]
        order = np.argsort(lanes, kind="stable")
        numbers, begins = np.unique(lanes[order], return_index=True)
        found = np.empty(len(times))
        for number, mine in zip(numbers.tolist(), np.split(order, begins[1:]), strict=True):
            largest = self._largest.get(number, -np.inf)
            found[mine], self._largest[number] = _running(times[mine], largest)
        return found


def _running(times: Floats, largest: float) -> tuple[Floats, float]:
    """Largest time before each, and after the last; NaN counts for nothing."""
    running = np.fmax.accumulate(np.concatenate(([largest], times)))
    return running[:-1], float(running[-1])
