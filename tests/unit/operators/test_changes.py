"""What changed in a lane: changes put together, texts packed."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.changes import Delta, LaneChange, LaneProgress, NearRecords, Summary
from tests.builders import inputs


def delta(*times: float, firsts: bool = False, texts: list[str] | None = None) -> Delta:
    count = len(times)
    hashes = np.arange(2 * count, dtype=np.uint64).reshape(-1, 2)
    column = np.array(times, np.float64)
    added = Delta(hashes, column, np.arange(count), column - 1 if firsts else None)
    added.near = None if texts is None else near(*texts)
    return added


def near(*texts: str) -> NearRecords:
    count = len(texts)
    shards = np.arange(2 * count, dtype=np.uint64).reshape(-1, 2)
    return NearRecords(np.arange(count) / 2, np.arange(count) + 7, shards, list(texts))


def test_progress_that_says_what_moved_adds_up() -> None:
    table = inputs(3)
    whole = LaneProgress(4, {0: 5, 1: 6}, {0: 1.5, 1: 9.0}, 1.0, table[:2])
    moved = LaneProgress(5, {1: 8}, {1: 9.5}, 2.0)
    grown = LaneProgress(6, {0: 5, 1: 8, 2: 1}, {0: 1.5, 1: 9.5}, 3.0, table, end=70)

    assert LaneProgress.concat([whole, moved]) == LaneProgress(
        5, {0: 5, 1: 8}, {0: 1.5, 1: 9.5}, 2.0, table[:2]
    )
    assert LaneProgress.concat([whole, moved, grown]) == grown
    assert LaneProgress.concat([grown, LaneProgress(7, {0: 6}, {}, 3.5)]) == LaneProgress(
        7, {0: 6, 1: 8, 2: 1}, {0: 1.5, 1: 9.5}, 3.5, table
    )
    assert whole.positions == {0: 5, 1: 6}


def test_a_transaction_has_the_progress_of_its_last_batch_and_all_that_was_added() -> None:
    changes = [
        LaneChange(
            LaneProgress(number, {0: 10 * number}, {0: float(number)}, number - 1.0),
            delta(1.0 * number, 2.0 * number),
            Summary(60.0, {number: {"a": [number, 0, 0, 0]}}) if number > 1 else None,
        )
        for number in (1, 2, 3)
    ]
    whole = LaneChange.concat(changes)
    assert whole.progress == changes[-1].progress
    assert whole.delta.times.tolist() == [1, 2, 2, 4, 3, 6]
    assert whole.delta.newest == 6
    assert whole.summary == Summary(60.0, {2: {"a": [2, 0, 0, 0]}, 3: {"a": [3, 0, 0, 0]}})


def test_deltas_without_keys_leave_no_trace() -> None:
    whole = delta(1.0, firsts=True)
    assert Delta.concat([Delta.empty(), whole, Delta.empty()]) is whole
    assert len(Delta.concat([])) == len(Delta.concat([Delta.empty()])) == 0
    assert Delta.empty().newest == -np.inf
    twice = Delta.concat([whole, Delta.empty(), whole])
    assert twice.firsts is not None
    assert twice.firsts.tolist() == [0, 0]


def test_texts_come_along_with_keys_and_without() -> None:
    for deltas in (
        [delta(1.0, texts=["a"]), delta(2.0, texts=["b", "c"])],
        [delta(1.0), Delta.of_texts(near("a")), delta(2.0, texts=["b", "c"])],
        [Delta.of_texts(near("a")), Delta.of_texts(near("b", "c"))],
    ):
        joined = Delta.concat(deltas)
        assert joined.near is not None
        assert joined.near.texts == ["a", "b", "c"]
        assert len(joined) == sum(map(len, deltas))
    assert NearRecords.concat([]).texts == []


@given(st.lists(st.text(max_size=9)))
def test_packed_texts(texts: list[str]) -> None:
    records = near(*texts)
    again = NearRecords.unpack(records.pack())
    assert again.texts == texts
    assert again.times.tolist() == records.times.tolist()
    assert again.references.tolist() == records.references.tolist()
    assert again.shards.tolist() == records.shards.tolist()


def test_bytes_that_are_no_packed_texts() -> None:
    packed = near("é😀", "").pack()
    for broken in (packed[:-1], packed + b"x", b"", packed[:10]):
        with pytest.raises((ValueError, struct.error)):
            NearRecords.unpack(broken)
