"""Checks of invalid records, and of their reasons."""

from __future__ import annotations

import numpy as np

from flows.cli.audit.accepted_times import NO_JOB_BEFORE, AcceptedTimes
from flows.cli.audit.decoding import CLOCK_SECONDS, FUTURE
from flows.cli.audit.table import InputTable
from operators.columns.arrays import Bools, Ints
from operators.verdicts import INVALID


def wrong_validity(table: InputTable, latest: float) -> Ints:
    """Rows of valid records with the verdict invalid, and of invalid ones with another.

    latest: larger event times are in the future for the clock of now, and so for every
    earlier clock.  Only the job's clock knew whether a record was in the future when it
    was read: see `never_in_future`.
    """
    invalid = table.verdicts == INVALID
    readable = table.reasons == 0
    not_invalid = invalid & readable & (table.matched != FUTURE)
    accepted = ~invalid & (table.verdicts >= 0)
    with np.errstate(invalid="ignore"):
        not_valid = accepted & (~readable | (table.times > latest))
    return np.flatnonzero(not_invalid | not_valid)


def wrong_reasons(table: InputTable) -> Ints:
    """Rows of invalid records whose answers give a wrong reason."""
    wrong = (table.verdicts == INVALID) & (table.reasons > 0) & (table.matched > 0)
    return np.flatnonzero(wrong & (table.matched != table.reasons))


def future_that_came(table: InputTable, now: float) -> Ints:
    """Rows with the reason `future` whose event times are not after `now`."""
    return np.flatnonzero(_with_reason_future(table) & (table.times <= now))


def never_in_future(table: InputTable, accepted: AcceptedTimes) -> Ints:
    """Rows with the reason `future` that were certainly not in the future when they were read.

    Either no job's clock has ever been that early.  Or the broker's clock was later when it
    appended the record.  Or the lane had certainly accepted an earlier record of the same
    partition with a larger event time: then its clock was late enough.
    """
    rows = np.flatnonzero(_with_reason_future(table))
    if not len(rows):
        return rows
    times = table.times[rows]
    wrong = (times <= NO_JOB_BEFORE) | table.never_ahead[rows]
    for first, last in table.ranges.values():
        here = (rows >= first) & (rows < last)
        if here.any():
            accepted.begin()
            largest = accepted.before(slice(first, last))
            wrong[here] |= times[here] <= largest[rows[here] - first] - CLOCK_SECONDS
    wrong_rows: Ints = rows[wrong]
    return wrong_rows


def _with_reason_future(table: InputTable) -> Bools:
    """Rows with the reason `future` whose records are otherwise valid."""
    future: Bools = (table.verdicts == INVALID) & (table.matched == FUTURE) & (table.reasons == 0)
    return future
