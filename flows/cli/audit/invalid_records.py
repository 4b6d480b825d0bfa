"""What must hold of invalid records, and of their reasons."""

from __future__ import annotations

import numpy as np

from flows.cli.audit.accepted_times import NO_JOB_BEFORE, Taken
from flows.cli.audit.decoding import CLOCK_SECONDS, FUTURE
from flows.cli.audit.table import InputTable
from operators.columns.arrays import Ints
from operators.verdicts import INVALID


def wrong_validity(table: InputTable, latest: float) -> Ints:
    """Rows whose verdict says that they are invalid and which are not, or the reverse.

    latest: larger event times are in the future for the clock of now, and so for every
    earlier one.  Whether a record was in the future when it was read only the job's
    clock knew: see `never_in_future`.
    """
    invalid = table.verdicts == INVALID
    readable = table.reasons == 0
    not_invalid = invalid & readable & (table.matched != FUTURE)
    taken = ~invalid & (table.verdicts >= 0)
    with np.errstate(invalid="ignore"):
        not_valid = taken & (~readable | (table.times > latest))
    return np.flatnonzero(not_invalid | not_valid)


def wrong_reasons(table: InputTable) -> Ints:
    """Rows of invalid records that have another reason than the one that was given."""
    wrong = (table.verdicts == INVALID) & (table.reasons > 0) & (table.matched > 0)
    return np.flatnonzero(wrong & (table.matched != table.reasons))


def future_that_came(table: InputTable, now: float) -> Ints:
    """Rows that were answered as being in the future and are not for a clock at `now`."""
    said = (table.verdicts == INVALID) & (table.matched == FUTURE) & (table.reasons == 0)
    return np.flatnonzero(said & (table.times <= now))


def never_in_future(table: InputTable, taken: Taken) -> Ints:
    """Rows that were answered as being in the future and cannot have been when they were read.

    Either no clock has ever been so early; or the broker's clock was later when it
    appended the record; or the lane had certainly taken a record of the same partition
    before that was further ahead: then its clock was late enough.
    """
    said = (table.verdicts == INVALID) & (table.matched == FUTURE) & (table.reasons == 0)
    rows = np.flatnonzero(said)
    if not len(rows):
        return rows
    times = table.times[rows]
    wrong = (times <= NO_JOB_BEFORE) | table.in_time[rows]
    for first, last in table.ranges.values():
        mine = (rows >= first) & (rows < last)
        if mine.any():
            taken.begin()
            largest = taken.before(slice(first, last))
            wrong[mine] |= times[mine] <= largest[rows[mine] - first] - CLOCK_SECONDS
    found: Ints = rows[wrong]
    return found
