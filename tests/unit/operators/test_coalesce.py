"""Batches that are put together: the same rows, spans and columns, up to the limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.batches import Batch, Records
from operators.coalesce import coalesce
from operators.columns.byte_column import ByteColumn
from tests.builders import span_of


def batch_of(
    partition: int, count: int, *, size: int = 0, columns: bool = True, start: int = 0
) -> Batch:
    """Records whose values name their place.  columns: whether they have keys, headers, times."""
    names = [f"{partition}-{start + row}" for row in range(count)]
    return Batch.of(
        span_of(partition, start, start + count, 1000.0 + partition),
        Records(
            offsets=np.arange(start, start + count),
            values=[name.encode().ljust(size) for name in names],
            keys=[b"k" + name.encode() for name in names] if columns else None,
            headers=[[("h", name.encode())] for name in names] if columns else None,
            timestamps=7 + np.arange(count) if columns else None,
        ),
    )


def in_columns(batch: Batch) -> Batch:
    """The batch as Kafka's source gives it."""
    records = batch.records
    records.values, records.keys = ByteColumn.of(records.values), ByteColumn.of(records.keys or ())
    return batch


def rows_of(batch: Batch) -> list[tuple[int, int, bytes | None]]:
    """Partition, offset and value of each record, from the rows of the spans."""
    places = []
    for span, rows in batch.spans:
        records = batch.records
        offsets = records.offsets[rows].tolist()
        assert all(span.start <= offset < span.end for offset in offsets)
        values = zip(offsets, records.values[rows], strict=True)
        places += [(span.partition.partition, offset, value) for offset, value in values]
    numbers = [span.partition.partition for span in batch.spans.spans]
    assert [row[0] for row in places] == batch.spans.of_rows(numbers).tolist()
    return places


@given(
    sizes=st.lists(st.integers(0, 5), max_size=6),
    columns=st.sets(st.integers(0, 5)) | st.just(set(range(6))),
)
def test_rows_and_spans_stay_the_same(sizes: list[int], columns: set[int]) -> None:
    batches = [batch_of(partition, size) for partition, size in enumerate(sizes)]
    batches = [in_columns(batch) if at in columns else batch for at, batch in enumerate(batches)]
    joined = list(coalesce(batches, 4))
    assert len(joined) == min(len(batches), 1)
    for whole in joined:
        assert rows_of(whole) == [row for batch in batches for row in rows_of(batch)]
        assert list(whole.spans.spans) == [span for batch in batches for span in batch.spans.spans]
        names = [(value or b"") for value in whole.records.values]
        assert list(whole.records.keys or ()) == [b"k" + name for name in names]
        assert list(whole.records.headers or ()) == [[("h", name)] for name in names]
        assert whole.records.timestamps is not None
        assert whole.records.timestamps.tolist() == [7 + row for n in sizes for row in range(n)]


def test_a_column_that_only_some_batches_have() -> None:
    [joined] = coalesce(
        [batch_of(0, 1, columns=False), batch_of(1, 2), batch_of(2, 1, columns=False)], 1
    )
    records = joined.records
    assert records.keys == [None, b"k1-0", b"k1-1", None]
    assert records.headers == [None, [("h", b"1-0")], [("h", b"1-1")], None]
    assert records.timestamps is not None
    assert records.timestamps.tolist() == [0, 7, 8, 0]
    [bare] = coalesce([batch_of(0, 1, columns=False), batch_of(1, 1, columns=False)], 1)
    assert (bare.records.keys, bare.records.headers, bare.records.timestamps) == (None, None, None)


@pytest.mark.parametrize(
    "sizes, size, lanes, expected",
    [
        ([20_000, 5_000, 1], 0, 5, [25_000, 1]),
        ([20_000, 20_000, 1], 0, 8, [40_000, 1]),
        ([60_000, 20_000, 1], 0, 16, [80_000, 1]),
        ([8_000, 12_000, 1, 19_999], 0, 1, [20_000, 20_000]),
        ([40_000, 1], 0, 4, [40_000, 1]),
        ([1, 1, 1], 2_000_000, 4, [2, 1]),
        ([1, 1, 1, 1], 2_000_000, 6, [3, 1]),
        ([1, 1, 1, 1, 1], 2_000_000, 8, [4, 1]),
        ([1, 1, 1, 1, 1], 2_000_000, 64, [4, 1]),
        ([1, 1], 5_000_000, 8, [1, 1]),
        ([0, 0, 3], 0, 4, [3]),
    ],
)
def test_large_batches_stay_apart(
    sizes: list[int], size: int, lanes: int, expected: list[int]
) -> None:
    """Size: of a record, with its key and header."""
    beside_value = len(b"k0-0") + len(b"h0-0")
    batches = [batch_of(n, count, size=size - beside_value) for n, count in enumerate(sizes)]
    joined = list(coalesce(batches, lanes))
    assert [len(batch.records) for batch in joined] == expected
    rows = [row for batch in batches for row in rows_of(batch)]
    assert [row for batch in joined for row in rows_of(batch)] == rows
    names = [f"{partition}-{offset}" for partition, offset, _ in rows]
    assert sum(batch.records.size_bytes for batch in joined) == sum(
        len(value or b"") + len(f"k{name}") + len(f"h{name}")
        for (_, _, value), name in zip(rows, names, strict=True)
    )


@pytest.mark.parametrize("columns", [{0, 1}, {0}, set()])
def test_bytes_are_counted_in_lists_and_in_columns(columns: set[int]) -> None:
    batches = [batch_of(0, 2, size=5), batch_of(1, 2)]
    batches = [in_columns(batch) if at in columns else batch for at, batch in enumerate(batches)]
    [joined] = coalesce(batches, 1)
    keys_and_headers = 4 * (len(b"k1-0") + len(b"h1-0"))
    assert joined.records.size_bytes == 2 * 5 + 2 * len(b"1-0") + keys_and_headers


def test_a_partition_may_have_several_batches() -> None:
    [joined] = coalesce([batch_of(3, 2), batch_of(1, 1), batch_of(3, 2, start=2)], 1)
    assert [row[:2] for row in rows_of(joined)] == [(3, 0), (3, 1), (1, 0), (3, 2), (3, 3)]


def test_batches_can_be_put_together_twice() -> None:
    batches = [batch_of(0, 2), batch_of(1, 0), batch_of(2, 3), batch_of(4, 1)]
    [first] = coalesce(batches[:3], 1)
    [joined] = coalesce([first, batches[3]], 1)
    assert rows_of(joined) == [row for batch in batches for row in rows_of(batch)]
    assert list(joined.spans.ends) == [2, 2, 5, 6]


def test_no_batches() -> None:
    assert list(coalesce([], 1)) == []


def test_messages_to_other_processes_are_left_out() -> None:
    batches = [Batch.asking(), batch_of(0, 2), Batch.stops()]
    [joined] = coalesce(batches, 4)
    assert rows_of(joined) == rows_of(batch_of(0, 2))
    assert not list(coalesce([Batch.asking()], 4))
