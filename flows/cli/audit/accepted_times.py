"""Event times that a lane had certainly accepted before it judged a record.

A lane accepts a record that is not invalid, and its event time then counts for the
watermark.  Lanes commit independently.  One lane may have answered a record long before
another lane, which was killed in between, reads the records before it again.  By then the
clock is later, and accepts event times that were in the future for the first lane.
"""

from __future__ import annotations

import numpy as np

from flows.cli.audit.table import InputTable
from operators.columns.arrays import Floats
from operators.verdicts import INVALID

# 2026-01-01: no job of this program has read anything before.
NO_JOB_BEFORE = 1_767_225_600.0


class AcceptedTimes:
    """Largest accepted event times, for consecutive rows of one partition.

    A lane meets records in the order of the partition.  It has certainly met those that it
    accepted itself, and those of other lanes whose times were in no clock's future.
    """

    def __init__(self, table: InputTable, *, dropped: bool, together: bool) -> None:
        """dropped: whether some verdict is dropped; then records without an answer count too.

        together: whether all lanes commit at once; then every lane has met all records.
        """
        self._table = table
        self._dropped = dropped
        self._together = together
        self._max_of_lane: dict[int, float] = {}
        self._max_of_all = -np.inf

    def begin(self) -> None:
        """Begin a partition."""
        self._max_of_lane.clear()
        self._max_of_all = -np.inf

    def before(self, rows: slice) -> Floats:
        """Largest event time that was certainly accepted before each of the next rows."""
        table = self._table
        verdicts = table.verdicts[rows]
        accepted = (verdicts != INVALID) & (self._dropped | (verdicts >= 0))
        times = np.where(accepted, table.times[rows], np.nan)
        never_ahead = (times <= NO_JOB_BEFORE) | table.never_ahead[rows]
        met_by_all = np.ones(len(times), np.bool_) if self._together else never_ahead
        largest, self._max_of_all = _running_max(
            np.where(met_by_all, times, np.nan), self._max_of_all
        )
        if not met_by_all.all():
            np.fmax(largest, self._before_in_lane(rows, times), out=largest)
        return largest

    def _before_in_lane(self, rows: slice, times: Floats) -> Floats:
        lanes = self._table.lanes[rows]
        order = np.argsort(lanes, kind="stable")
        indexes, begins = np.unique(lanes[order], return_index=True)
        largest = np.empty(len(times))
        for lane, positions in zip(indexes.tolist(), np.split(order, begins[1:]), strict=True):
            before = self._max_of_lane.get(lane, -np.inf)
            largest[positions], self._max_of_lane[lane] = _running_max(times[positions], before)
        return largest


def _running_max(times: Floats, before: float) -> tuple[Floats, float]:
    """Largest time before each row, and the largest of all.  NaN is ignored."""
    running = np.fmax.accumulate(np.concatenate(([before], times)))
    return running[:-1], float(running[-1])
