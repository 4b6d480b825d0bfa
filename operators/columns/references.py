"""References: the input partition and offset of a record in one number."""

from __future__ import annotations

from typing import overload

import numpy as np

from operators.columns.arrays import Ints

# Bits of a 64-bit reference that hold the offset.  2^47 offsets last 4,400 years at 1,000
# records/s per partition.
_OFFSET_BITS = 47
MAX_PARTITIONS = 1 << (63 - _OFFSET_BITS)
NO_REFERENCE = -1


def references(partitions: int | Ints, offsets: Ints) -> Ints:
    """References of records, all of one partition or each of its own."""
    return offsets | (np.int64(partitions) << _OFFSET_BITS)


@overload
def partition_and_offset(reference: int) -> tuple[int, int]: ...


@overload
def partition_and_offset(reference: Ints) -> tuple[Ints, Ints]: ...


def partition_and_offset(reference: int | Ints) -> tuple[int | Ints, int | Ints]:
    """Partition and offset of a reference, or of each reference of a column."""
    return reference >> _OFFSET_BITS, reference & ((1 << _OFFSET_BITS) - 1)
