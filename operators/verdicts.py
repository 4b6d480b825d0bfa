"""What a lane answers: one verdict a record, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

from operators.batches import Floats, Hashes, Ints, Slice
from operators.similarity.records import NearRecords
from operators.summaries import Summary

Codes: TypeAlias = npt.NDArray[np.int8]

VERDICTS = ("unique", "duplicate", "late", "invalid")
UNIQUE, DUPLICATE, LATE, INVALID = range(4)

# A reference names a record by partition and offset in one 64-bit integer.
# 2^47 offsets last 4,400 years at 1,000 records/s a partition.
_OFFSET_BITS = 47
MAX_PARTITIONS = 1 << (63 - _OFFSET_BITS)
NO_REFERENCE = -1

NOTHING = 0
"""Number of a verdict batch that changes nothing and is not written."""


def references(partitions: int | Ints, offsets: Ints) -> Ints:
    """References of records of one partition, or each of its own."""
    return offsets | (np.int64(partitions) << _OFFSET_BITS)


@overload
def partition_and_offset(reference: int) -> tuple[int, int]: ...
@overload
def partition_and_offset(reference: Ints) -> tuple[Ints, Ints]: ...
def partition_and_offset(reference: int | Ints) -> tuple[int | Ints, int | Ints]:
    """Partition and offset that a reference stands for, or each of many."""
    return reference >> _OFFSET_BITS, reference & ((1 << _OFFSET_BITS) - 1)


@dataclass(slots=True)
class Matches:
    """What the keys say of some records, one row a record.

    combination: which combination matched, −1 for none (unique).
    originals: reference of the unique record repeated, `NO_REFERENCE` for none.
    """

    combination: Codes
    originals: Ints


@dataclass(slots=True)
class Delta:
    """What a decision added to the state, in the order in which it was added.

    hashes: shape (n, 2).  times: event times; of a session, its largest.
    references: of the unique record.  firsts: smallest event times of sessions,
    None for other windows.  near: unique records with their texts, None where near
    duplicates are not looked for.
    """

    hashes: Hashes
    times: Floats
    references: Ints
    firsts: Floats | None = None
    near: NearRecords | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.times)

    @property
    def newest(self) -> float:
        """Largest event time, −inf if there is none."""
        return float(self.times.max()) if len(self.times) else -np.inf

    @staticmethod
    def join(deltas: Sequence[Delta]) -> Delta:
        """Put deltas that followed each other into one."""
        near = [delta.near for delta in deltas if delta.near is not None]
        deltas = [delta for delta in deltas if len(delta)]
        if len(deltas) == 1 and not near:
            return deltas[0]
        if not deltas:
            return Delta.of_texts(NearRecords.join(near)) if near else Delta.empty()
        firsts = [delta.firsts for delta in deltas if delta.firsts is not None]
        return Delta(
            np.concatenate([delta.hashes for delta in deltas]),
            np.concatenate([delta.times for delta in deltas]),
            np.concatenate([delta.references for delta in deltas]),
            np.concatenate(firsts) if firsts else None,
            NearRecords.join(near) if near else None,
        )

    @staticmethod
    def of_texts(near: NearRecords) -> Delta:
        """Return a delta of unique records without their keys."""
        delta = Delta.empty()
        delta.near = near
        return delta

    @staticmethod
    def empty() -> Delta:
        """Return a delta of no keys."""
        return Delta(np.zeros((0, 2), np.uint64), np.zeros(0), np.zeros(0, np.int64))


@dataclass(slots=True)
class VerdictBatch:
    """A lane's answer to a slice.

    number: the lane's running number, from 1.  positions, largest: next offset and
    largest event time of each input partition, afterwards.  verdicts: a code a record, index
    into `VERDICTS`.  behind: seconds behind the watermark, for late ones.
    similarity: of near duplicates, NaN elsewhere; None where none was found.
    keys_held: keys in the lane afterwards.  delta: what was added to the state.
    skipped: records of the slice that had been answered before.  summary: of the
    verdicts, None without statistics or records.  recovered: summaries of earlier
    batches that a restart found in the changelog and not in the recovery snapshot.
    """

    lane: int
    number: int
    positions: dict[int, int]
    largest: dict[int, float]
    slice: Slice
    verdicts: Codes
    matches: Matches
    behind: Floats
    watermark: float
    keys_held: int
    delta: Delta
    similarity: Floats | None = None
    skipped: int = 0
    summary: Summary | None = None
    recovered: Sequence[Summary] = ()
