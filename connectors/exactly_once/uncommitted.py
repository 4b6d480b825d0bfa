"""Verdict batches that are held until they are committed, and how much memory that is."""

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
    """What is kept of a verdict batch until it is committed, and how much memory that is.

    packed: verdict, and its records.  changes: what it changes in its lane.  written: what is
    to be counted then.  size_bytes: of the values.
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
    """Verdict batches in order, and how much they are."""

    def __init__(self, records: int, size_bytes: int) -> None:
        """records, size_bytes: more of either is too much."""
        self._most = (records, size_bytes)
        self.records = self.size_bytes = 0
        self._batches: deque[HeldBatch] = deque()

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[HeldBatch]:
        """Go through the batches, the oldest first."""
        return iter(self._batches)

    @property
    def is_full(self) -> bool:
        """Tell whether more is held than should be."""
        return self.records > self._most[0] or self.size_bytes > self._most[1]

    def append(self, batch: HeldBatch) -> None:
        """Hold another batch."""
        self._batches.append(batch)
        self.records += batch.records
        self.size_bytes += batch.size_bytes

    def popleft(self) -> HeldBatch:
        """Give the oldest batch away."""
        batch = self._batches.popleft()
        self.records -= batch.records
        self.size_bytes -= batch.size_bytes
        return batch

    def clear(self) -> None:
        """Let go of everything."""
        self._batches.clear()
        self.records = self.size_bytes = 0
