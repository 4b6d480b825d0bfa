"""Join: few records of each of many partitions cost as much as many of one, save together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.batches import Batch, Records, Spans
from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn

# With more a lane commits less often at full speed, and more is held until then.  Each slice,
# and each lane's commit, has its price, so that with more lanes it is more.
_MOST_A_LANE = 5_000
_FEWEST_LANES = 4
_BYTES_A_RECORD = 200
_MOST_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class BatchLimit:
    """What a batch may have: records, bytes of their values."""

    records: int
    size_bytes: int


def batch_limit(lanes: int) -> BatchLimit:
    """Return what a batch may have; what a source reads at once need not be joined."""
    records = _MOST_A_LANE * max(lanes, _FEWEST_LANES)
    return BatchLimit(records, min(_BYTES_A_RECORD * records, _MOST_BYTES))


def coalesce(batches: Iterable[Batch], lanes: int) -> Iterator[Batch]:
    """Put batches that follow each other into one, as long as it does not become too large.

    lanes: how many slices are made of it.  Spans stay as they are, in the same order: to a
    verdict it makes no difference.
    """
    limit = batch_limit(lanes)
    joined: list[Batch] = []
    records = size_bytes = 0
    for batch in batches:
        records += len(batch.records)
        size_bytes += batch.records.size_bytes
        if joined and (records > limit.records or size_bytes > limit.size_bytes):
            yield _joined(joined)
            joined, records, size_bytes = [], len(batch.records), batch.records.size_bytes
        joined.append(batch)
    if joined:
        yield _joined(joined)


def _joined(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    spans = [batch.spans for batch in batches]
    sizes = [len(batch.records) for batch in batches]
    begins = np.cumsum([0, *sizes[:-1]]).tolist()
    records = [batch.records for batch in batches]
    return Batch(
        spans=Spans(
            [span for one in spans for span in one.spans],
            [begin + end for begin, one in zip(begins, spans, strict=True) for end in one.ends],
        ),
        records=Records(
            offsets=np.concatenate([one.offsets for one in records]),
            values=_column([one.values for one in records], sizes) or (),
            keys=_column([one.keys for one in records], sizes),
            headers=_column([one.headers for one in records], sizes),
            timestamps=_timestamps(records),
        ),
    )


def _column(columns: Sequence[Sequence[Any] | None], sizes: Sequence[int]) -> Sequence[Any] | None:
    """One column of those of the batches; None for the records of one that has none."""
    if all(column is None for column in columns):
        return None
    bytes_ = [column for column in columns if isinstance(column, ByteColumn)]
    if len(bytes_) == len(columns):
        return ByteColumn.concat(bytes_)
    joined: list[Any] = []
    for column, size in zip(columns, sizes, strict=True):
        joined += [None] * size if column is None else column
    return joined


def _timestamps(batches: Sequence[Records]) -> Ints | None:
    """The same of timestamps; 0 for the records of one that has none."""
    if all(one.timestamps is None for one in batches):
        return None
    found = [
        np.zeros(len(one), np.int64) if one.timestamps is None else one.timestamps
        for one in batches
    ]
    return np.concatenate(found)
