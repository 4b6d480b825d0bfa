"""The input partitions that a lane has met, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from operators.batches import InputPartition
from operators.columns.references import MAX_PARTITIONS
from operators.errors import StateError


class InputTable:
    """Numbers a lane's input partitions, from 0, in the order in which they were met.

    References to records hold these numbers, so a number never changes its meaning: the table
    only grows.  A restart gets it from the snapshot or the changelog.
    """

    def __init__(self, partitions: Iterable[InputPartition] = ()) -> None:
        """partitions: of an earlier run, by number."""
        self.partitions: tuple[InputPartition, ...] = ()
        """The partition of each number; replaced when it grows, never changed."""
        self._numbers: dict[InputPartition, int] = {}
        self.add(partitions)

    def __len__(self) -> int:
        """Return the number of partitions."""
        return len(self.partitions)

    def add(self, partitions: Iterable[InputPartition]) -> None:
        """Number the partitions that are new.  Raises StateError if there are too many."""
        new = [
            partition for partition in dict.fromkeys(partitions) if partition not in self._numbers
        ]
        if not new:
            return
        if len(self) + len(new) > MAX_PARTITIONS:
            msg = (
                f"the application has read more than {MAX_PARTITIONS:,} input partitions, those of "
                "deleted topics included: choose another DEDUP_APP_ID"
            )
            raise StateError(msg)
        first = len(self)
        self._numbers.update((partition, first + row) for row, partition in enumerate(new))
        self.partitions += tuple(new)

    def numbers(self, partitions: Sequence[InputPartition]) -> list[int]:
        """Return the numbers of partitions; new ones get the next numbers."""
        self.add(partitions)
        return [self._numbers[partition] for partition in partitions]

    def number(self, partition: InputPartition) -> int | None:
        """Return the number of a partition, None for one that was never met."""
        return self._numbers.get(partition)

    def go_on_from(self, stored: Sequence[InputPartition]) -> None:
        """Take the table of an earlier run, or a longer one of the same run.

        Raises StateError if a number would change its meaning.
        """
        if tuple(stored[: len(self)]) != self.partitions[: len(stored)]:
            msg = "the numbers of input partitions differ: is the recovery directory another's?"
            raise StateError(msg)
        self.add(stored)
