"""A lane's answer: one verdict for each record, in columns."""

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
    """The unique records that records repeat, one row for each record.

    combination: index of the combination that matched, −1 for a unique record.
    originals: reference of the unique record, `NO_REFERENCE` for none.
    """

    combination: Codes
    originals: Ints


@dataclass(slots=True)
class VerdictBatch:
    """A lane's answer to a slice.

    change: what the slice changed in the lane; its sequence is `NO_SEQUENCE` if nothing.
    verdicts: an index into `VERDICTS` for each record.  behind: how many seconds a late
    record is behind the watermark, NaN for others.  keys_held: keys in the lane afterwards.
    similarity: of near duplicates, NaN for others; None if near duplicates are not sought.
    skipped: records of the slice that were answered before.  recovered: summaries that a
    restart found in the changelog but not in the recovery snapshot.  The input partitions that
    `originals` name by number are `change.progress.inputs`.
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
