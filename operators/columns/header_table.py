"""Headers of records that all have the same names: a column for each name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TypeAlias, overload

from operators.columns.byte_column import ByteColumn

Header: TypeAlias = tuple[str, bytes | None]
Headers: TypeAlias = Sequence[Header] | None
# The value of one header in all records, or in each.
Value: TypeAlias = "bytes | list[bytes] | ByteColumn"


class HeaderTable(Sequence[Headers]):
    """The headers of some records, with the same names in the same order.

    columns: name → its value in all records, or that in each; one name at least.
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
        """Return the headers of one record, or of some."""
        return self.rows()[row]

    def __iter__(self) -> Iterator[list[Header]]:
        """Go through the headers of each record."""
        return iter(self.rows())

    def rows(self) -> list[list[Header]]:
        """Make the headers of each record; they may be changed."""
        columns = [
            zip(repeat(name, self._count), _each(value, self._count), strict=True)
            for name, value in self.columns.items()
        ]
        return list(map(list, zip(*columns, strict=True)))


def _each(value: Value, count: int) -> Iterable[bytes | None]:
    return repeat(value, count) if isinstance(value, bytes) else value
