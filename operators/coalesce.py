"""Puts the small batches of many partitions together.

A batch has a fixed cost, however few records it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.batches import Batch, Records, Spans
from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn

# With more records per batch, a lane commits less often at full speed, and more is held until
# then.  Each slice and each lane's commit has a fixed cost, so the limit grows with the lanes.
_MAX_RECORDS_PER_LANE = 5_000
_MIN_LANES = 4
_BYTES_PER_RECORD = 200
_MAX_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class BatchLimit:
    """The largest batch: its records, and their bytes."""

    records: int
    size_bytes: int


def batch_limit(lanes: int) -> BatchLimit:
    """Return the limit of a batch; a source that reads full batches needs no coalescing."""
    records = _MAX_RECORDS_PER_LANE * max(lanes, _MIN_LANES)
    return BatchLimit(records, min(_BYTES_PER_RECORD * records, _MAX_BYTES))


def coalesce(batches: Iterable[Batch], lanes: int) -> Iterator[Batch]:
    """Put consecutive batches into one, up to the limit of a batch.

    lanes: number of slices that a batch is cut into.  Spans keep their content and order,
    so verdicts do not change.  Batches that stop the job, or ask, are left out.
    """
    limit = batch_limit(lanes)
    waiting: list[Batch] = []
    records = size_bytes = 0
    for batch in batches:
        if batch.stop or batch.asks:
            continue
        records += len(batch.records)
        size_bytes += batch.records.size_bytes
        if waiting and (records > limit.records or size_bytes > limit.size_bytes):
            yield _concat(waiting)
            waiting, records, size_bytes = [], len(batch.records), batch.records.size_bytes
        waiting.append(batch)
    if waiting:
        yield _concat(waiting)


def _concat(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    sizes = [len(batch.records) for batch in batches]
    begins = np.cumsum([0, *sizes[:-1]]).tolist()
    records = [batch.records for batch in batches]
    return Batch(
        spans=Spans(
            [span for batch in batches for span in batch.spans.spans],
            [
                begin + end
                for begin, batch in zip(begins, batches, strict=True)
                for end in batch.spans.ends
            ],
        ),
        records=Records(
            offsets=np.concatenate([part.offsets for part in records]),
            values=_concat_columns([part.values for part in records], sizes) or (),
            keys=_concat_columns([part.keys for part in records], sizes),
            headers=_concat_columns([part.headers for part in records], sizes),
            timestamps=_concat_timestamps(records),
        ),
        known=next((batch.known for batch in reversed(batches) if batch.known is not None), None),
    )


def _concat_columns(
    columns: Sequence[Sequence[Any] | None], sizes: Sequence[int]
) -> Sequence[Any] | None:
    """Put columns into one; a batch without the column gives None for each record."""
    if all(column is None for column in columns):
        return None
    byte_columns = [column for column in columns if isinstance(column, ByteColumn)]
    if len(byte_columns) == len(columns):
        return ByteColumn.concat(byte_columns)
    values: list[Any] = []
    for column, size in zip(columns, sizes, strict=True):
        values += [None] * size if column is None else column
    return values


def _concat_timestamps(batches: Sequence[Records]) -> Ints | None:
    """Put timestamps into one column; a batch without them gives 0 for each record."""
    if all(records.timestamps is None for records in batches):
        return None
    timestamps = [
        np.zeros(len(records), np.int64) if records.timestamps is None else records.timestamps
        for records in batches
    ]
    return np.concatenate(timestamps)
