"""Records in a form that C code reads: packed once, produced once or repeatedly."""

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
    """The headers of all records, one after the other.

    names, places: addresses.  sizes: of the values.  ends: for each record the index after its
    last header; empty if no record has any.  max_per_record: headers of the record with most.
    """

    __slots__ = ("_held", "ends", "max_per_record", "names", "places", "sizes")

    def __init__(self, headers: Sequence[Headers] | None) -> None:
        self.ends = self.names = self.places = self.sizes = NOTHING
        self.max_per_record = 0
        if isinstance(headers, HeaderTable):
            self._of_table(headers)
        elif headers is not None:
            self._of_each([own or () for own in headers])

    def _of_table(self, table: HeaderTable) -> None:
        """A column for each header, written out row by row."""
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
        self.ends, self.max_per_record = np.arange(1, count + 1) * width, width
        self._held = (names, *values)

    def _of_each(self, each: Sequence[Sequence[Header]]) -> None:
        counts = np.fromiter(map(len, each), np.int64, len(each))
        self.ends, self.max_per_record = np.cumsum(counts), int(counts.max(initial=0))
        names: tuple[str, ...]
        texts: tuple[bytes | None, ...]
        names, texts = zip(*chain.from_iterable(each), strict=True) if any(each) else ((), ())
        distinct = list(set(names))
        held = ByteColumn.of([name.encode() + b"\0" for name in distinct])
        places = dict(zip(distinct, held.addresses().tolist(), strict=True))
        self.names = np.fromiter(map(places.__getitem__, names), np.int64, len(names))
        values = ByteColumn.of(texts)
        self.places, self.sizes = values.addresses(), values.sizes
        self._held = (held, values)


class PackedRecords:
    """Key, value, headers and timestamp of records.

    stamps: milliseconds since the epoch.  0 means now: for records whose own timestamp is
    missing or negative.  offsets: of the input.  size_bytes: of values, keys and values of headers
    together.
    """

    __slots__ = ("headers", "keys", "offsets", "size_bytes", "stamps", "values")

    def __init__(self, records: Records) -> None:
        """Copy the records, except columns that are in one piece of memory already."""
        count = len(records)
        self.offsets = records.offsets
        self.values = ByteColumn.of(records.values)
        keys = records.keys
        self.keys = ByteColumn.none(count) if keys is None else ByteColumn.of(keys)
        self.stamps = np.zeros(count, np.int64)
        if records.timestamps is not None:
            np.maximum(records.timestamps, 0, out=self.stamps)
        self.headers = HeaderColumns(records.headers)
        columns = (self.values.sizes, self.keys.sizes, self.headers.sizes)
        self.size_bytes = sum(int(sizes.sum()) for sizes in columns)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.stamps)
