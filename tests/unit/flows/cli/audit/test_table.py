"""The input table: rows by partition and offset, and the texts that name them."""

import numpy as np
import pytest

from flows.cli.audit.decoding import input_decoder
from flows.cli.audit.table import (
    DELETED,
    UNKNOWN,
    InputBuilder,
    InputTable,
    digests,
    equal_rows,
    place_of,
    places_of,
    read_number,
)
from flows.settings.load import load_settings
from operators.batches import Records


@pytest.fixture
def table() -> InputTable:
    """Partition 3 begins at offset 10, and has no offset 12; partition 1 is empty."""
    builder = InputBuilder(input_decoder(load_settings({})))
    builder.begin(3, 10)
    builder.add(Records(np.array([10, 11, 13], np.int64), [b"a", b"b", b"c"]))
    builder.begin(1, 0)
    builder.begin(0, 0)
    builder.add(Records(np.array([0], np.int64), [b"d"]), [2])
    return builder.build()


@pytest.mark.parametrize(
    "partition, offset, row",
    [
        (3, 10, 0),
        (3, 13, 2),
        (0, 0, 3),
        (3, 9, DELETED),
        (3, 12, UNKNOWN),
        (3, 14, UNKNOWN),
        (3, -1, UNKNOWN),
        (1, 0, UNKNOWN),
        (7, 0, UNKNOWN),
    ],
)
def test_a_row_is_found_by_partition_and_offset(
    table: InputTable, partition: int, offset: int, row: int
) -> None:
    rows = table.rows(np.array([partition, 0]), np.array([offset, 0]))

    assert rows.tolist() == [row, 3]
    if row >= 0:
        assert table.place(row) == (partition, offset)


def test_columns_have_a_row_for_each_record(table: InputTable) -> None:
    assert len(table) == 4
    assert table.deleted == 10
    assert table.labels.tolist() == [-1, -1, -1, 2]
    same_partition = table.partition_index(np.arange(4)) == table.partition_index(np.array([0]))
    assert same_partition.tolist() == [True, True, True, False]


def test_an_input_without_records_has_empty_columns() -> None:
    builder = InputBuilder(input_decoder(load_settings({})))
    builder.begin(0, 0)
    table = builder.build()

    assert len(table) == len(table.keys) == 0
    assert table.rows(np.array([0]), np.array([0])).tolist() == [UNKNOWN]


def test_a_digest_is_of_the_whole_record() -> None:
    record = ([b"v"], [b"k"], [[("h", b"1")]], [5])
    same = digests(*record)

    assert equal_rows(same, digests(*record)).all()
    for other in (
        digests([b"w"], *record[1:]),
        digests([b"v"], [None], *record[2:]),
        digests([b"v"], [b"k"], [[]], [5]),
        digests([b"v"], [b"k"], [[("h", b"1")]], [6]),
    ):
        assert not equal_rows(same, other).any()
    assert equal_rows(digests([b"v"], None, [[]]), digests([b"v"], None, [None])).all()


@pytest.mark.parametrize(
    "text, place",
    [
        ("3:17", (3, 17)),
        ("", None),
        ("3", None),
        ("3:", None),
        ("-1:2", None),
        ("3:1.0", None),
        ("3:" + "9" * 19, None),
        ("³:1", None),
    ],
)
def test_places_are_read_from_text(text: str, place: tuple[int, int] | None) -> None:
    assert place_of(text) == place
    partitions, offsets = places_of([text, "0:0"])
    assert (partitions[0], offsets[0]) == (place or (-1, -1))


@pytest.mark.parametrize(
    "text, value", [(b"17", 17), ("17", 17), (None, -1), (b"", -1), (b"\xff", -1), ("-1", -1)]
)
def test_numbers_are_read_from_text(text: bytes | str | None, value: int) -> None:
    assert read_number(text) == value
