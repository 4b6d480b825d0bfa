"""Headers in columns against a list of headers for each record."""

from operators.columns.byte_column import ByteColumn
from operators.columns.header_table import HeaderTable

TABLE = HeaderTable(3, {"a": b"1", "b": [b"x", b"y", b"z"], "c": ByteColumn.of([b"", None, b"v"])})
ROWS = [
    [("a", b"1"), ("b", b"x"), ("c", b"")],
    [("a", b"1"), ("b", b"y"), ("c", None)],
    [("a", b"1"), ("b", b"z"), ("c", b"v")],
]


def test_rows_have_all_headers_in_order() -> None:
    assert len(TABLE) == 3
    assert list(TABLE) == ROWS
    assert TABLE[1] == ROWS[1]
    assert TABLE[1:] == ROWS[1:]


def test_rows_are_new_lists() -> None:
    TABLE[0].append(("d", b""))
    assert TABLE[0] == ROWS[0]


def test_no_records() -> None:
    assert list(HeaderTable(0, {"a": b"1"})) == []
