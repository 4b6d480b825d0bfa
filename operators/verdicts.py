"""What a lane answers: one verdict a record, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.batches import Slice
from operators.changes import LaneChange, Summary
from operators.columns.arrays import Codes, Floats, Ints

VERDICTS = ("unique", "duplicate", "late", "invalid")
UNIQUE, DUPLICATE, LATE, INVALID = range(4)


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

    change: what the slice changed in the lane; its sequence is `NO_SEQUENCE` if nothing.
    verdicts: index into `VERDICTS`, one for each record.  behind: seconds behind the
    watermark, for late records.  keys_held: keys in the lane afterwards.
    similarity: of near duplicates, NaN elsewhere; None where none was found.
    skipped: records of the slice that had been answered before.  recovered: summaries of
    earlier batches that a restart found in the changelog and not in the recovery snapshot.
    """

    lane: int
    change: LaneChange
    slice: Slice
    verdicts: Codes
    matches: Matches
    behind: Floats
    keys_held: int
    similarity: Floats | None = None
    skipped: int = 0
    recovered: Sequence[Summary] = ()
