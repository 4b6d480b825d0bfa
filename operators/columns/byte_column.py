"""A column of byte strings in one piece of memory: cheaper to make and select than objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

from operators.columns.jit import jit, memcpy

Memory = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

# One byte, so that an empty column has an address too.
_EMPTY: Final = np.zeros(1, np.uint8)
_BEYOND_ASCII: Final = 0x80


class ByteColumn(Sequence["bytes | None"]):
    """A byte string or None for each record, stored one after the other, without gaps.

    memory: all bytes.  sizes: number of bytes of each value.  missing: which values are None;
    None if no value is.
    """

    __slots__ = ("ends", "memory", "missing", "sizes")

    def __init__(self, memory: Memory, sizes: _Ints, missing: _Bools | None = None) -> None:
        """Take the arrays as they are, without a copy."""
        self.memory, self.sizes, self.missing = memory, sizes, missing
        self.ends = sizes.cumsum()

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> ByteColumn:
        """Copy values into one piece of memory, unless they are a column already."""
        if isinstance(values, cls):
            return values
        count = len(values)
        missing = None
        present: Sequence[bytes] = values  # type: ignore[assignment]  # None raises TypeError
        try:
            memory = b"".join(present)
        except TypeError:
            missing = np.fromiter((value is None for value in values), np.bool_, count)
            present = [value or b"" for value in values]
            memory = b"".join(present)
        sizes = np.fromiter(map(len, present), np.int64, count)
        return cls(np.frombuffer(memory, np.uint8), sizes, missing)

    @classmethod
    def none(cls, count: int) -> ByteColumn:
        """Make a column of None."""
        return cls(_EMPTY[:0], np.zeros(count, np.int64), np.ones(count, np.bool_))

    @classmethod
    def concat(cls, columns: Sequence[ByteColumn]) -> ByteColumn:
        """Put columns one after the other into a new one."""
        missing = None
        if any(column.missing is not None for column in columns):
            missing = np.concatenate([column.is_missing() for column in columns])
        memory = np.concatenate([column.memory for column in columns])
        return cls(memory, np.concatenate([column.sizes for column in columns]), missing)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.sizes)

    @overload
    def __getitem__(self, row: int) -> bytes | None: ...

    @overload
    def __getitem__(self, row: slice) -> ByteColumn: ...

    def __getitem__(self, row: int | slice) -> bytes | ByteColumn | None:
        """Return one value, or a view of a slice of step 1."""
        if isinstance(row, slice):
            begin, end, _ = row.indices(len(self))
            first = int(self.ends[begin - 1]) if begin else 0
            last = int(self.ends[end - 1]) if end > begin else first
            missing = None if self.missing is None else self.missing[begin:end]
            return ByteColumn(self.memory[first:last], self.sizes[begin:end], missing)
        if self.missing is not None and self.missing[row]:
            return None
        last = int(self.ends[row])
        return self.memory[last - int(self.sizes[row]) : last].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        """Iterate over the values; faster than by index."""
        values: Iterable[bytes | None] = map(BytesIO(self.memory.data).read, self.sizes.tolist())
        if self.missing is not None:
            missing = self.missing.tolist()
            values = (None if gone else value for value, gone in zip(values, missing, strict=True))
        return iter(values)

    def __eq__(self, other: object) -> bool:
        """Tell whether another sequence has the same bytes."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only this column's part of the memory."""
        return ByteColumn, (self.memory, self.sizes, self.missing)

    def is_ascii(self) -> bool:
        """Tell whether all bytes are ASCII."""
        return not len(self.memory) or int(self.memory.max()) < _BEYOND_ASCII

    def is_missing(self) -> _Bools:
        """Whether each value is None."""
        return np.zeros(len(self), np.bool_) if self.missing is None else self.missing

    def take(self, rows: _Ints) -> ByteColumn:
        """Copy the values of `rows`, in that order."""
        sizes = self.sizes[rows]
        ends = sizes.cumsum()
        memory = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        _copy(self.memory, self.ends[rows], sizes, memory, ends)
        return ByteColumn(memory, sizes, None if self.missing is None else self.missing[rows])

    def addresses(self) -> _Ints:
        """Memory address of each value, 0 for None.  Keep the column while they are in use."""
        base = (self.memory if len(self.memory) else _EMPTY).ctypes.data
        addresses: _Ints = self.ends - self.sizes + base
        if self.missing is not None:
            addresses[self.missing] = 0
        return addresses


@jit
def _copy(source: Memory, source_ends: _Ints, sizes: _Ints, target: Memory, ends: _Ints) -> None:
    """Copy values of `source` to `target`, given where each ends in both."""
    from_, to = source.ctypes.data, target.ctypes.data
    for row in range(len(sizes)):
        size = sizes[row]
        memcpy(to + ends[row] - size, from_ + source_ends[row] - size, size)
