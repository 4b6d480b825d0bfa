"""What a lane answers: one verdict a record, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.batches import Slice
from operators.changes import Delta, Summary
from operators.columns.arrays import Codes, Floats, Ints

VERDICTS = ("unique", "duplicate", "late", "invalid")
UNIQUE, DUPLICATE, LATE, INVALID = range(4)


NO_SEQUENCE = 0
"""Sequence of a verdict batch that changes nothing and is not written."""


@dataclass(slots=True)
class Matches:
    """What the keys say of some records, one row a record.

    combination: which combination matched, −1 for none (unique).
    originals: reference of the unique record repeated, `NO_REFERENCE` for none.
    """

    combination: Codes
    originals: Ints


@dataclass(slots=True)
class VerdictBatch:
    """A lane's answer to a slice.

    sequence: the lane's running number, from 1.  positions, max_event_times: next offset
    and largest event time of each input partition, afterwards.  verdicts: a code a record, index
    into `VERDICTS`.  behind: seconds behind the watermark, for late ones.
    similarity: of near duplicates, NaN elsewhere; None where none was found.
    keys_held: keys in the lane afterwards.  delta: what was added to the state.
    skipped: records of the slice that had been answered before.  summary: of the
    verdicts, None without statistics or records.  horizon: the watermark less the allowed
    lateness; later records with an earlier event time are late.  recovered: summaries of earlier
    batches that a restart found in the changelog and not in the recovery snapshot.
    """

    lane: int
    sequence: int
    positions: dict[int, int]
    max_event_times: dict[int, float]
    slice: Slice
    verdicts: Codes
    matches: Matches
    behind: Floats
    watermark: float
    horizon: float
    keys_held: int
    delta: Delta
    similarity: Floats | None = None
    skipped: int = 0
    summary: Summary | None = None
    recovered: Sequence[Summary] = ()
