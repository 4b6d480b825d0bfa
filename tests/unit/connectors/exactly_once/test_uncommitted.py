"""Verdict batches that wait for their commit: their size, and when there are too many."""

import numpy as np
import pytest

from connectors.exactly_once.uncommitted import HeldBatch, UncommittedBatches
from operators.batches import Records
from operators.encode.encoder import Output


def batch_of(values: list[bytes]) -> HeldBatch:
    """Build a batch of one verdict."""
    records = Records(np.arange(len(values)), values)
    return HeldBatch.of([Output(0, 1, 1, 0, records, 0.0)])


def test_a_batch_knows_its_size() -> None:
    batch = batch_of([b"abc", b"", b"de"])
    assert (batch.records, batch.size_bytes, len(batch.written)) == (3, 5, 1)
    assert batch.changes == []


def test_batches_leave_in_the_order_in_which_they_came() -> None:
    batches = UncommittedBatches(10, 100)
    first, second = batch_of([b"a"]), batch_of([b"bc", b"d"])
    batches.append(first)
    batches.append(second)
    assert list(batches) == [first, second]
    assert (len(batches), batches.records, batches.size_bytes) == (2, 3, 4)
    assert batches.popleft() is first
    assert (len(batches), batches.records, batches.size_bytes) == (1, 2, 3)
    batches.clear()
    assert (len(batches), batches.records, batches.size_bytes) == (0, 0, 0)


@pytest.mark.parametrize("max_records, max_bytes", [(2, 100), (100, 5)])
def test_more_than_a_limit_is_full(max_records: int, max_bytes: int) -> None:
    batches = UncommittedBatches(max_records, max_bytes)
    batches.append(batch_of([b"abc", b"de"]))
    assert not batches.is_full
    batches.append(batch_of([b"f"]))
    assert batches.is_full
