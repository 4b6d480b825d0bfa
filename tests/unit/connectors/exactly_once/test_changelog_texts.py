"""Texts of near duplicates in the changelog: records are bounded, however long the texts are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.exactly_once.changelog_format import ChangelogRecord, changes_of, pack, unpack
from operators.changes import Delta, LaneChange, LaneProgress, NearRecords
from operators.errors import StateError
from tests.changelog_deltas import MAX_RECORD_BYTES, random_delta


def change_with_texts(keys: int, texts: list[str], *, sessions: bool = False) -> LaneChange:
    count = len(texts)
    added = random_delta(keys, 1, sessions=sessions)
    added.near = NearRecords(
        np.arange(count, dtype=np.float64),
        np.arange(count) * 3,
        np.arange(2 * count, dtype=np.uint64).reshape(-1, 2),
        texts,
    )
    return LaneChange(LaneProgress(7, {0: 9}, {0: 1.5}, 1.5), added)


def read(packed: list[bytes]) -> list[ChangelogRecord]:
    assert all(len(value) < MAX_RECORD_BYTES for value in packed)
    return [unpack(value) for value in packed]


@given(st.integers(0, 20_000), st.lists(st.text(), max_size=20), st.booleans())
def test_round_trip(keys: int, texts: list[str], sessions: bool) -> None:
    written = change_with_texts(keys, texts, sessions=sessions)
    changes = changes_of(read(list(pack(written, {"a": "b"}))))
    added = Delta.concat([change.delta for change in changes])
    assert len(added) == keys
    assert added.near is not None
    assert written.delta.near is not None
    assert added.near.pack() == written.delta.near.pack()
    assert np.array_equal(added.hashes, written.delta.hashes)


def test_texts_longer_than_a_record() -> None:
    texts = ["é😀" * 200_000, "", "a" * 3_000_000]
    records = read(list(pack(change_with_texts(40_000, texts), {})))
    assert len(records) > 50
    near = changes_of(records)[-1].delta.near
    assert near is not None
    assert near.texts == texts


def test_a_transaction_without_its_first_record_is_an_error() -> None:
    records = read(list(pack(change_with_texts(1, ["ab" * 100_000]), {})))
    with pytest.raises(StateError, match="texts that cannot be read"):
        changes_of(records[1:])


def test_without_texts_nothing_is_added() -> None:
    written = change_with_texts(3, [])
    written.delta.near = None
    (record,) = read(list(pack(written, {})))
    assert changes_of([record])[0].delta.near is None
