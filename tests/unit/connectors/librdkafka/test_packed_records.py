"""Packed records, read as C code reads them, are the records that were packed."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.librdkafka.packed_records import PackedRecords
from operators.batches import Records
from operators.columns.arrays import Ints
from operators.columns.header_table import HeaderTable

Header = tuple[str, bytes | None]

_BYTES = st.none() | st.binary(max_size=20)
# librdkafka takes a header's name to its first zero.
_NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
_HEADERS = st.none() | st.lists(st.tuples(_NAMES, _BYTES), max_size=4)
_STAMPS = st.integers(-(2**62), 2**62)
_COLUMNS = st.dictionaries(_NAMES, st.binary(max_size=3) | st.none(), min_size=1, max_size=4)
_ROWS = st.lists(st.tuples(_BYTES, _BYTES, _HEADERS, _STAMPS), max_size=8)


def bytes_at(places: Ints, sizes: Ints) -> list[bytes | None]:
    return [
        ctypes.string_at(place, size) if place else None
        for place, size in zip(places.tolist(), sizes.tolist(), strict=True)
    ]


def headers_of(packed: PackedRecords) -> list[list[Header]]:
    headers = packed.headers
    values = bytes_at(headers.places, headers.sizes)
    names = [ctypes.string_at(place).decode() for place in headers.names.tolist()]
    each, begin = [], 0
    for end in headers.ends.tolist():
        each.append(list(zip(names[begin:end], values[begin:end], strict=True)))
        begin = end
    assert begin == len(names)
    return each


@given(_ROWS)
def test_packed_records_are_read_back(
    rows: list[tuple[bytes | None, bytes | None, list[Header] | None, int]],
) -> None:
    records = Records(
        offsets=np.arange(len(rows)),
        values=[value for value, _, _, _ in rows],
        keys=[key for _, key, _, _ in rows],
        headers=[headers for _, _, headers, _ in rows],
        timestamps=np.array([stamp for _, _, _, stamp in rows], np.int64),
    )

    packed = PackedRecords(records)

    # The records' own objects are no longer needed.
    expected = [(value, key, headers or [], max(stamp, 0)) for value, key, headers, stamp in rows]
    del records
    assert len(packed) == len(rows)
    assert packed.size_bytes == sum(
        len(value or b"") + len(key or b"") + sum(len(text or b"") for _, text in headers)
        for value, key, headers, _ in expected
    )
    assert packed.headers.max_per_record == max(
        (len(headers) for _, _, headers, _ in expected), default=0
    )
    packed_rows = zip(
        bytes_at(packed.values.addresses(), packed.values.sizes),
        bytes_at(packed.keys.addresses(), packed.keys.sizes),
        headers_of(packed),
        packed.stamps.tolist(),
        strict=True,
    )
    assert list(packed_rows) == expected


@given(st.integers(0, 5), _COLUMNS, st.data())
def test_headers_of_a_table_equal_headers_of_each_record(
    count: int, drawn: dict[str, bytes | None], data: st.DataObject
) -> None:
    values = st.lists(st.binary(max_size=20), min_size=count, max_size=count)
    columns = {name: data.draw(values) if value is None else value for name, value in drawn.items()}
    table = HeaderTable(count, columns)
    each = [
        [
            (name, column if isinstance(column, bytes) else column[row])
            for name, column in columns.items()
        ]
        for row in range(count)
    ]
    assert list(table) == each
    packed = PackedRecords(Records(np.arange(count), [b"v"] * count, headers=table))

    assert headers_of(packed) == each
    assert packed.headers.max_per_record == len(columns)


def test_missing_columns() -> None:
    packed = PackedRecords(Records(offsets=np.arange(2), values=[b"a", b"b"]))

    assert bytes_at(packed.keys.addresses(), packed.keys.sizes) == [None, None]
    assert packed.stamps.tolist() == [0, 0]
    assert packed.headers.max_per_record == len(packed.headers.ends) == 0


@pytest.mark.parametrize("column", ["values", "keys"])
def test_values_that_are_not_bytes_are_refused(column: str) -> None:
    columns = {"values": [b"a"], "keys": [b"k"], column: ["text"]}
    with pytest.raises(TypeError):
        PackedRecords(Records(offsets=np.arange(1), **columns))  # type: ignore[arg-type]
