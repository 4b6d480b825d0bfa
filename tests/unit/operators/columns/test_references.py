"""References name a partition and an offset."""

import numpy as np
import pytest

from operators.columns.references import (
    MAX_PARTITIONS,
    NO_REFERENCE,
    partition_and_offset,
    references,
)

LAST_OFFSET = 2**47 - 1


@pytest.mark.parametrize("partition", [0, 1, 7, MAX_PARTITIONS - 1])
@pytest.mark.parametrize("offset", [0, 1, 2**33, LAST_OFFSET])
def test_there_and_back(partition: int, offset: int) -> None:
    [reference] = references(partition, np.array([offset])).tolist()
    assert partition_and_offset(reference) == (partition, offset)
    assert reference > NO_REFERENCE


def test_a_column_of_partitions() -> None:
    partitions, offsets = np.array([0, 5, 65_535]), np.array([3, 2, LAST_OFFSET])
    again = partition_and_offset(references(partitions, offsets))
    assert (again[0].tolist(), again[1].tolist()) == (partitions.tolist(), offsets.tolist())
    assert len(set(references(partitions, offsets).tolist())) == 3
