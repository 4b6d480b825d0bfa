"""Records as C code can read them: made once, produced as often as need be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from operators.batches import Records
from operators.columns.byte_column import ByteColumn
from operators.columns.header_table import Header, Headers, HeaderTable

NOTHING: Final = np.zeros(0, np.int64)


class HeaderColumns:
    """The headers of records, one after the other.

    ends: for each record which header is the first after its own; empty without any.
    most: what one record has at most.
    """

    __slots__ = ("_held", "ends", "most", "names", "places", "sizes")

    def __init__(self, headers: Sequence[Headers] | None) -> None:
        self.ends = self.names = self.places = self.sizes = NOTHING
        self.most = 0
        if isinstance(headers, HeaderTable):
            self._of_table(headers)
        elif headers is not None:
            self._of_each([one or () for one in headers])

    def _of_table(self, table: HeaderTable) -> None:
        """Each column's places are a column, and the rows of these one after the other."""
        count, width = len(table), len(table.columns)
        names = ByteColumn.of([name.encode() + b"\0" for name in table.columns])
        values = [
            ByteColumn.of([value] if isinstance(value, bytes) else value)
            for value in table.columns.values()
        ]
        places, sizes = np.empty((2, count, width), np.int64)
        for at, column in enumerate(values):
            places[:, at], sizes[:, at] = column.addresses(), column.sizes
        self.names = np.tile(names.addresses(), count)
        self.places, self.sizes = places.reshape(-1), sizes.reshape(-1)
        self.ends, self.most = np.arange(1, count + 1) * width, width
        self._held = (names, *values)

    def _of_each(self, each: Sequence[Sequence[Header]]) -> None:
        counts = np.fromiter(map(len, each), np.int64, len(each))
        self.ends, self.most = np.cumsum(counts), int(counts.max(initial=0))
        names: tuple[str, ...]
        texts: tuple[bytes | None, ...]
        names, texts = zip(*chain.from_iterable(each), strict=True) if any(each) else ((), ())
        different = list(set(names))
        held = ByteColumn.of([name.encode() + b"\0" for name in different])
        places = dict(zip(different, held.addresses().tolist(), strict=True))
        self.names = np.fromiter(map(places.__getitem__, names), np.int64, len(names))
        values = ByteColumn.of(texts)
        self.places, self.sizes = values.addresses(), values.sizes
        self._held = (held, values)


class PackedRecords:
    """Key, value, headers and timestamp of records.

    stamps: milliseconds since the epoch, 0 for the time of day, which a record gets whose
    own is missing or negative.  offsets: of the input.
    """

    __slots__ = ("headers", "keys", "offsets", "size_bytes", "stamps", "values")

    def __init__(self, records: Records) -> None:
        """Copy them, save what is in one piece of memory already."""
        count = len(records)
        self.offsets = records.offsets
        self.values = ByteColumn.of(records.values)
        keys = records.keys
        self.keys = ByteColumn.none(count) if keys is None else ByteColumn.of(keys)
        self.stamps = np.zeros(count, np.int64)
        if records.timestamps is not None:
            np.maximum(records.timestamps, 0, out=self.stamps)
        self.headers = HeaderColumns(records.headers)
        self.size_bytes = int(self.values.sizes.sum())

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.stamps)
