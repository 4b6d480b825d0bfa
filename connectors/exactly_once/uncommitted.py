"""Verdict batches that are held until they are committed, and their size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.librdkafka.packed_records import PackedRecords
from operators.changes import LaneChange
from operators.encode.encoder import Output
from operators.monitoring.observer import WrittenBatch


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """The part of a verdict batch that is needed until its commit.

    packed: each verdict with its records.  changes: what it changes in its lane.  written: what
    is counted after the commit.  size_bytes: of the records.
    """

    packed: Sequence[tuple[int, PackedRecords]]
    changes: Sequence[LaneChange]
    written: Sequence[WrittenBatch]
    records: int
    size_bytes: int

    @classmethod
    def of(cls, parts: Sequence[Output]) -> HeldBatch:
        """Pack the outputs of a batch."""
        packed = [(part.verdict, PackedRecords(part.records)) for part in parts]
        return cls(
            packed=packed,
            changes=[part.progress.change for part in parts if part.progress is not None],
            written=list(map(WrittenBatch.of, parts)),
            records=sum([len(records) for _, records in packed]),
            size_bytes=sum([records.size_bytes for _, records in packed]),
        )


class UncommittedBatches:
    """Verdict batches in order, and their total size."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        """More than `max_records`, or than `max_bytes` of records, is full."""
        self._max_records, self._max_bytes = max_records, max_bytes
        self.records = self.size_bytes = 0
        self._batches: deque[HeldBatch] = deque()

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[HeldBatch]:
        """Iterate over the batches, oldest first."""
        return iter(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether more is held than the limits allow."""
        return self.records > self._max_records or self.size_bytes > self._max_bytes

    def append(self, batch: HeldBatch) -> None:
        """Add a batch."""
        self._batches.append(batch)
        self.records += batch.records
        self.size_bytes += batch.size_bytes

    def popleft(self) -> HeldBatch:
        """Remove the oldest batch and return it."""
        batch = self._batches.popleft()
        self.records -= batch.records
        self.size_bytes -= batch.size_bytes
        return batch

    def clear(self) -> None:
        """Remove all batches."""
        self._batches.clear()
        self.records = self.size_bytes = 0
