"""The column of event types: each name is stored once, with a number for every record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_Rows = npt.NDArray[np.intp]


class TypeNames(dict[str, int]):
    """Names of event types with their numbers; looking up a new name adds it."""

    def __missing__(self, name: str) -> int:
        """Give a new name the next number."""
        number = self[name] = len(self)
        return number


@dataclass(frozen=True, slots=True)
class EventTypes:
    """Event types of records.

    numbers: for each record, the number of its type.  names: those of the whole batch,
    shared by its slices.
    """

    numbers: npt.NDArray[np.int64]
    names: TypeNames = field(default_factory=TypeNames)

    @staticmethod
    def of(names: Sequence[str]) -> EventTypes:
        """Make the column from the name of each record's type."""
        types = EventTypes.unknown(len(names))
        types.put(slice(None), names, len(names))
        return types

    @staticmethod
    def unknown(count: int) -> EventTypes:
        """Return the types of records that have none: the empty string."""
        types = EventTypes(np.zeros(count, np.int64))
        types.names[""]  # gets number 0
        return types

    def put(self, rows: slice | _Rows, names: Iterable[str], count: int) -> None:
        """Set the types of `count` rows."""
        # Runs in C, except for the first look-up of each name.
        self.numbers[rows] = np.fromiter(map(self.names.__getitem__, names), np.int64, count)

    def part(self, rows: slice) -> EventTypes:
        """Return rows as a view, not a copy."""
        return EventTypes(self.numbers[rows], self.names)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.numbers)

    def __getitem__(self, rows: _Rows | npt.NDArray[np.bool_]) -> EventTypes:
        """Select rows."""
        return EventTypes(self.numbers[rows], self.names)

    def tolist(self) -> list[str]:
        """Return the name of each record's type."""
        names = list(self.names)
        return [names[number] for number in self.numbers.tolist()]
