"""Batches and their parts: rows, spans, and what travels to another process."""

import pickle
from typing import Any

import numpy as np
import pytest

from operators.batches import Batch, DecisionColumns, Records, Slice, Spans
from operators.columns.byte_column import ByteColumn
from operators.columns.event_types import EventTypes
from operators.lanes.positions import select_rows
from tests.builders import span_of

ROWS: list[list[int]] = [[], [2], [0, 3], [1, 2, 4], [0, 1, 2, 3, 4]]


def records(*, columns: bool) -> Records:
    values = [b"a", b"bb", None, b"ccc", b""]
    keys = [b"k", None, b"l", b"m", None]
    return Records(
        offsets=np.array([3, 5, 6, 9, 12]),
        values=ByteColumn.of(values) if columns else values,
        keys=ByteColumn.of(keys) if columns else keys,
        headers=[[("h", value)] for value in values],
        timestamps=np.arange(5) + 100,
    )


def rows_of(records: Records) -> list[tuple[Any, ...]]:
    assert records.keys is not None
    assert records.headers is not None
    assert records.timestamps is not None
    offsets, timestamps = records.offsets.tolist(), records.timestamps.tolist()
    columns = (offsets, records.values, records.keys, records.headers, timestamps)
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_selected_rows_of_records(rows: list[int], *, columns: bool) -> None:
    whole = records(columns=columns)
    assert rows_of(whole.take(np.array(rows, np.int64))) == [rows_of(whole)[row] for row in rows]
    assert rows_of(whole.part(slice(1, 4))) == rows_of(whole)[1:4]
    in_values, in_keys, in_headers = 6, 3, 5 + 6
    assert whole.size_bytes == in_values + in_keys + in_headers


def test_columns_that_no_record_has_stay_away() -> None:
    bare = Records(np.arange(3), [b"a", b"b", b"c"])
    for some in (bare.take(np.array([0, 2])), bare.part(slice(1, 3))):
        assert (some.keys, some.headers, some.timestamps) == (None, None, None)
        assert len(some) == 2


def test_what_was_taken_may_be_changed() -> None:
    whole = records(columns=False)
    whole.take(np.arange(5)).headers = None
    assert whole.headers is not None


SPANS = Spans((span_of(0, 3, 7, 1.5), span_of(2, 0, 4, 2.5), span_of(1, 9, 13, 3.5)), (3, 3, 5))


def test_spans_and_their_rows() -> None:
    assert [(span.partition.partition, rows) for span, rows in SPANS] == [
        (0, slice(0, 3)),
        (2, slice(3, 3)),
        (1, slice(3, 5)),
    ]
    assert SPANS.of_rows((7, 8, 9)).tolist() == [7, 7, 7, 9, 9]
    assert SPANS.read_at == 1.5
    kept = SPANS.to_rows(np.array([1, 4]))
    assert kept.of_rows((7, 8, 9)).tolist() == [7, 9]
    assert kept.spans is SPANS.spans
    [(span, rows)] = Batch.of(span_of(1, 0, 9, 0.5), records(columns=False)).spans
    assert (span.partition.partition, rows) == (1, slice(0, 5))


def a_slice() -> Slice:
    """Rows 0, 2 and 4 of a batch."""
    return Slice(
        lane=2,
        spans=SPANS.to_rows(np.array([0, 2, 4])),
        records=records(columns=True),
        rows=np.array([0, 2, 4]),
        decided=DecisionColumns(
            times=np.array([1.0, np.nan, 3.0]),
            running_max=np.array([-np.inf, 1.0, -np.inf]),
            hashes=np.arange(6, dtype=np.uint64).reshape(3, 1, 2),
            invalid={1: ("tombstone", "no value")},
            types=EventTypes.of(["a", "", "b"]),
            texts=np.array(["x", None, "y"], object),
        ),
        max_event_times=(1.0, -np.inf, 3.0),
    )


def test_a_slice_keeps_only_some_records() -> None:
    kept = select_rows(a_slice(), np.array([False, True, True]))
    assert len(kept) == 2
    assert kept.offsets.tolist() == [6, 12]
    assert kept.decided.invalid == {0: ("tombstone", "no value")}
    assert kept.decided.hashes.reshape(-1).tolist() == [2, 3, 4, 5]
    assert kept.decided.types is not None
    assert kept.decided.types.tolist() == ["", "b"]
    assert kept.spans.of_rows((7, 8, 9)).tolist() == [7, 9]
    assert kept.max_event_times == (1.0, -np.inf, 3.0)


def test_a_pickled_slice_has_only_its_own_records() -> None:
    whole = a_slice()
    copy: Slice = pickle.loads(pickle.dumps(whole))  # noqa: S301 - our own
    assert copy.rows.tolist() == [0, 1, 2]
    assert rows_of(copy.records) == rows_of(whole.records.take(whole.rows))
    assert copy.offsets.tolist() == whole.offsets.tolist() == [3, 6, 12]
    assert copy.decided.invalid == whole.decided.invalid


def test_a_part_of_the_columns_is_a_view() -> None:
    columns = a_slice().decided
    part = columns.part(slice(1, 3))
    part.times[0] = 7.0
    part.hashes[1] = 0
    assert columns.times.tolist() == [1.0, 7.0, 3.0]
    assert not columns.hashes[2].any()
    assert part.invalid == {}
