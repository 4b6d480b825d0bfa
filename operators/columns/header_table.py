"""Headers of records that all have the same header names: one column for each name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TypeAlias, overload

from operators.columns.byte_column import ByteColumn

Header: TypeAlias = tuple[str, bytes | None]
Headers: TypeAlias = Sequence[Header] | None
# One value for all records, or one for each record.
Value: TypeAlias = "bytes | list[bytes] | ByteColumn"


class HeaderTable(Sequence[Headers]):
    """Headers of records that have the same names in the same order.

    columns: name → one value for all records, or one for each record; at least one name.
    """

    __slots__ = ("_count", "columns")

    def __init__(self, count: int, columns: Mapping[str, Value]) -> None:
        """count: number of records."""
        self._count, self.columns = count, columns

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    @overload
    def __getitem__(self, row: int) -> list[Header]: ...

    @overload
    def __getitem__(self, row: slice) -> list[list[Header]]: ...

    def __getitem__(self, row: int | slice) -> list[Header] | list[list[Header]]:
        """Return the headers of one record, or of a slice of records."""
        return self.rows()[row]

    def __iter__(self) -> Iterator[list[Header]]:
        """Iterate over the headers of each record."""
        return iter(self.rows())

    def rows(self) -> list[list[Header]]:
        """Make a new list of headers for each record."""
        columns = [
            zip(repeat(name, self._count), _values(value, self._count), strict=True)
            for name, value in self.columns.items()
        ]
        return list(map(list, zip(*columns, strict=True)))


def _values(value: Value, count: int) -> Iterable[bytes | None]:
    return repeat(value, count) if isinstance(value, bytes) else value
