"""Verdict batches that are held until they are committed, and how much memory that is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from operators.encode import Output


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """The outputs of a verdict batch, how many records they have, and the bytes of their values."""

    parts: Sequence[Output]
    records: int
    size_bytes: int

    @classmethod
    def of(cls, parts: Sequence[Output]) -> HeldBatch:
        """Weigh the outputs of a batch."""
        records = sum([len(part.records) for part in parts])
        return cls(parts, records, sum([part.records.size_bytes for part in parts]))


class HeldBatches:
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
    def too_much(self) -> bool:
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
