"""Texts of near duplicates in the changelog: however long, in records of a bounded size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.exactly_once.changelog_format import ChangelogRecord, changes_of, pack, unpack
from operators.changes import Delta, LaneChange, LaneProgress, NearRecords
from operators.errors import StateError
from tests.unit.connectors.exactly_once.test_changelog_format import LARGEST_RECORD_BYTES, delta


def change(keys: int, texts: list[str], *, sessions: bool = False) -> LaneChange:
    count = len(texts)
    added = delta(keys, 1, sessions=sessions)
    added.near = NearRecords(
        np.arange(count, dtype=np.float64),
        np.arange(count) * 3,
        np.arange(2 * count, dtype=np.uint64).reshape(-1, 2),
        texts,
    )
    return LaneChange(LaneProgress(7, {0: 9}, {0: 1.5}, 1.5), added)


def read(packed: list[bytes]) -> list[ChangelogRecord]:
    assert all(len(value) < LARGEST_RECORD_BYTES for value in packed)
    return [unpack(value) for value in packed]


@given(st.integers(0, 20_000), st.lists(st.text(), max_size=20), st.booleans())
def test_round_trip(keys: int, texts: list[str], sessions: bool) -> None:
    written = change(keys, texts, sessions=sessions)
    found = Delta.concat([c.delta for c in changes_of(read(list(pack(written, {"a": "b"}))))])
    assert len(found) == keys
    assert found.near is not None
    assert written.delta.near is not None
    assert found.near.pack() == written.delta.near.pack()
    assert np.array_equal(found.hashes, written.delta.hashes)


def test_texts_longer_than_a_record() -> None:
    texts = ["é😀" * 200_000, "", "a" * 3_000_000]
    records = read(list(pack(change(40_000, texts), {})))
    assert len(records) > 50
    near = changes_of(records)[-1].delta.near
    assert near is not None
    assert near.texts == texts


def test_a_transaction_whose_beginning_is_cut_off_is_an_error() -> None:
    records = read(list(pack(change(1, ["ab" * 100_000]), {})))
    with pytest.raises(StateError, match="texts that cannot be read"):
        changes_of(records[1:])


def test_without_texts_nothing_is_added() -> None:
    written = change(3, [])
    written.delta.near = None
    (record,) = read(list(pack(written, {})))
    assert changes_of([record])[0].delta.near is None
