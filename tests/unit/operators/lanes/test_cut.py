"""A batch is cut into one slice for each lane."""

import pickle
from typing import Any

import numpy as np
import pytest

from operators.batches import FILE, DecisionColumns, DecodedBatch, Records, Span, Spans
from operators.columns.event_types import EventTypes
from operators.lanes.cut import cut


def _batch(lanes: list[int], **more: Any) -> DecodedBatch:  # noqa: ANN401
    count = len(lanes)
    rows = np.arange(count)
    return DecodedBatch(
        spans=Spans.of(Span(FILE, 100, 100 + count, 1.0), count),
        records=Records(
            offsets=100 + rows,
            values=[b"%d" % row for row in rows],
            keys=[b"k%d" % row for row in rows],
            headers=[[("h", b"%d" % row)] for row in rows],
            timestamps=rows,
        ),
        decided=DecisionColumns(
            times=rows.astype(float),
            running_max=rows.astype(float) - 1,
            hashes=np.stack([rows, rows], axis=1).astype(np.uint64).reshape(count, 1, 2),
            shards=np.stack([rows, rows], axis=1).astype(np.uint64),
            types=EventTypes.of([str(row) for row in rows]),
            texts=np.array([str(row) for row in rows], object),
            **more,
        ),
        lanes=np.array(lanes, np.int64),
        max_event_times=(float(count),),
    )


@pytest.mark.parametrize(
    "lanes, expected",
    [
        ([], [[], [], []]),
        ([1], [[], [0], []]),
        ([2, 2], [[], [], [0, 1]]),
        ([2, 0, 2, 1, 0, 2], [[1, 4], [3], [0, 2, 5]]),
    ],
)
def test_cut_keeps_order_and_makes_empty_slices(
    lanes: list[int], expected: list[list[int]]
) -> None:
    invalid = {row: ("json", str(row)) for row in range(0, len(lanes), 2)}
    batch = _batch(lanes, invalid=invalid)
    slices = cut(batch, 3)
    assert [slice_.lane for slice_ in slices] == [0, 1, 2]
    for slice_, rows in zip(slices, expected, strict=True):
        assert len(slice_) == len(rows)
        assert slice_.spans == Spans(batch.spans.spans, [len(rows)])
        assert slice_.max_event_times == batch.max_event_times
        records, decided = slice_.records.take(slice_.rows), slice_.decided
        assert slice_.offsets.tolist() == records.offsets.tolist()
        assert records.offsets.tolist() == [100 + row for row in rows]
        assert list(records.values) == [b"%d" % row for row in rows]
        assert list(records.keys or ()) == [b"k%d" % row for row in rows]
        assert list(records.headers or ()) == [[("h", b"%d" % row)] for row in rows]
        assert records.timestamps is not None
        assert records.timestamps.tolist() == rows
        assert decided.times.tolist() == rows
        assert decided.running_max.tolist() == [row - 1 for row in rows]
        assert decided.hashes[:, 0, 1].tolist() == rows
        assert decided.shards is not None
        assert decided.shards[:, 0].tolist() == rows
        assert decided.types is not None
        assert decided.types.tolist() == list(map(str, rows))
        assert decided.texts is not None
        assert decided.texts.tolist() == list(map(str, rows))
        assert decided.invalid == {
            position: invalid[row] for position, row in enumerate(rows) if row in invalid
        }


def test_columns_that_are_not_there_stay_so() -> None:
    batch = _batch([0, 1])
    batch.records = Records(batch.records.offsets, batch.records.values)
    batch.decided.shards = batch.decided.types = batch.decided.texts = None
    for slice_ in cut(batch, 2):
        records = slice_.records.take(slice_.rows)
        assert (records.keys, records.headers, records.timestamps) == (None, None, None)
        assert slice_.decided.shards is None
        assert slice_.decided.types is None
        assert slice_.decided.texts is None


def test_to_another_process_goes_only_what_is_a_slices_own() -> None:
    for slice_ in cut(_batch([1, 0, 1, 2], invalid={2: ("json", "no")}), 3):
        again = pickle.loads(pickle.dumps(slice_))  # noqa: S301 - our own
        records, own = again.records, slice_.records.take(slice_.rows)
        assert len(records) == len(slice_) == len(again)
        assert again.offsets.tolist() == own.offsets.tolist()
        assert [list(records.values), list(records.keys or ())] == [
            list(own.values),
            list(own.keys or ()),
        ]
        assert again.decided.invalid == slice_.decided.invalid
        assert (again.lane, again.spans, again.max_event_times) == (
            slice_.lane,
            slice_.spans,
            slice_.max_event_times,
        )
