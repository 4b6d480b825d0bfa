"""Records as C code can read them: made once, produced as often as need be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from operators.batches import Headers, Records

NOTHING: Final = np.zeros(0, np.int64)


class Bytes:
    """A column of bytes as C wants it: where each begins, and how long it is; 0 for None.

    They are copied into one piece of memory, which lives as long as this.
    """

    __slots__ = ("_all", "places", "sizes")

    def __init__(self, column: Sequence[bytes | None]) -> None:
        """Raises TypeError for what is not bytes."""
        count = len(column)
        try:
            self._all = b"".join(column)  # type: ignore[arg-type]  # None is why it would fail
            self.sizes = np.fromiter(map(len, column), np.int64, count)  # type: ignore[arg-type]
            missing = None
        except TypeError:
            there = [item or b"" for item in column]
            self._all = b"".join(there)
            self.sizes = np.fromiter(map(len, there), np.int64, count)
            missing = np.fromiter((item is None for item in column), np.bool_, count)
        ends = self.sizes.cumsum()
        begins = np.frombuffer(self._all or b"\0", np.uint8).ctypes.data
        self.places = ends - self.sizes + begins
        if missing is not None:
            self.places[missing] = 0

    @classmethod
    def none(cls, count: int) -> Bytes:
        """Make a column of None."""
        column = cls(())
        column.places = column.sizes = np.zeros(count, np.int64)
        return column


class HeaderColumns:
    """The headers of records, one after the other.

    ends: for each record which header is the first after its own; empty without any.
    most: what one record has at most.
    """

    __slots__ = ("_names", "_values", "ends", "most", "names", "places", "sizes")

    def __init__(self, headers: Sequence[Headers] | None) -> None:
        self.ends = self.names = self.places = self.sizes = NOTHING
        self.most = 0
        if headers is None:
            return
        each = [one or () for one in headers]
        counts = np.fromiter(map(len, each), np.int64, len(each))
        self.ends, self.most = np.cumsum(counts), int(counts.max(initial=0))
        names: tuple[str, ...]
        values: tuple[bytes | None, ...]
        names, values = zip(*chain.from_iterable(each), strict=True) if any(each) else ((), ())
        different = list(set(names))
        self._names = Bytes([name.encode() + b"\0" for name in different])
        places = dict(zip(different, self._names.places.tolist(), strict=True))
        self.names = np.fromiter(map(places.__getitem__, names), np.int64, len(names))
        self._values = Bytes(values)
        self.places, self.sizes = self._values.places, self._values.sizes


class PackedRecords:
    """Key, value, headers and timestamp of records.

    stamps: milliseconds since the epoch, 0 for the time of day, which a record gets whose
    own is missing or negative.  offsets: of the input.
    """

    __slots__ = ("headers", "keys", "offsets", "size_bytes", "stamps", "values")

    def __init__(self, records: Records) -> None:
        """Copy them; nothing of theirs is held."""
        count = len(records)
        self.offsets = records.offsets
        self.values = Bytes(records.values)
        self.keys = Bytes.none(count) if records.keys is None else Bytes(records.keys)
        self.stamps = np.zeros(count, np.int64)
        if records.timestamps is not None:
            np.maximum(records.timestamps, 0, out=self.stamps)
        self.headers = HeaderColumns(records.headers)
        self.size_bytes = int(self.values.sizes.sum())

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.stamps)
