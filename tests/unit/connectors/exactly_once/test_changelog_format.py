"""The changelog's records: packed ones are read again, others are refused."""

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.exactly_once.changelog_format import (
    KEYS_PER_RECORD,
    VERSION,
    ChangelogRecord,
    pack,
    unpack,
)
from operators.batches import InputPartition
from operators.changes import Delta, LaneChange, LaneProgress
from operators.errors import StateError
from tests.changelog_deltas import MAX_RECORD_BYTES, random_delta

times = st.floats(allow_nan=False)
partitions = st.integers(0, 2**16 - 1)
FINGERPRINT = {"a": "b"}
fingerprints = st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4)


ids = st.sampled_from(["", "q", "r"])
inputs = st.lists(
    st.builds(InputPartition, st.sampled_from(["a", "b"]), ids, st.integers(0, 4)), unique=True
).map(tuple)


@st.composite
def changes(draw: st.DrawFn) -> LaneChange:
    positions = draw(st.dictionaries(partitions, st.integers(0, 2**62), min_size=1, max_size=9))
    return LaneChange(
        LaneProgress(
            sequence=draw(st.integers(1, 2**62)),
            positions=positions,
            max_event_times={
                partition: draw(times.filter(lambda time: time > -np.inf))
                for partition in positions
                if draw(st.booleans())
            },
            watermark=draw(times),
            inputs=draw(inputs),
        ),
        random_delta(
            draw(st.integers(0, 3 * KEYS_PER_RECORD)),
            draw(st.integers(0, 99)),
            sessions=draw(st.booleans()),
        ),
    )


def concat(records: list[ChangelogRecord]) -> Delta:
    return Delta.concat([record.change.delta for record in records])


@given(changes(), fingerprints)
def test_round_trip(change: LaneChange, fingerprint: dict[str, str]) -> None:
    packed = list(pack(change, fingerprint))
    records = [unpack(value) for value in packed]
    last = records[-1]

    assert [record.last for record in records] == [False] * (len(records) - 1) + [True]
    assert all(len(value) < MAX_RECORD_BYTES for value in packed)
    assert last.fingerprint == fingerprint
    assert last.change.progress == change.progress
    assert [record.whole for record in records] == [record.last for record in records]
    added = concat(records)
    assert np.array_equal(added.hashes, change.delta.hashes)
    assert np.array_equal(added.times, change.delta.times)
    assert np.array_equal(added.references, change.delta.references)
    if len(change.delta):
        assert (added.firsts is None) == (change.delta.firsts is None)
    if added.firsts is not None and change.delta.firsts is not None:
        assert np.array_equal(added.firsts, change.delta.firsts)


@given(changes())
def test_a_record_of_what_changed_leaves_settings_and_inputs_out(change: LaneChange) -> None:
    *_, last = [unpack(value) for value in pack(change, None)]

    assert last.last
    assert not last.whole
    assert last.fingerprint == {}
    assert last.change.progress == change.progress._replace(inputs=())


def test_a_thousand_partitions_are_few_bytes() -> None:
    partitions = tuple(InputPartition("t", "id", number) for number in range(1000))
    progress = LaneProgress(1, {7: 1}, {}, 0.0, partitions)
    [value] = pack(LaneChange(progress, Delta.empty()), {})
    assert len(value) < 200


@pytest.mark.parametrize(
    "keys, records",
    [
        (0, 1),
        (1, 1),
        (KEYS_PER_RECORD, 1),
        (KEYS_PER_RECORD + 1, 2),
        (2 * KEYS_PER_RECORD, 2),
        (2 * KEYS_PER_RECORD + 1, 3),
    ],
)
def test_many_keys_are_split(keys: int, records: int) -> None:
    change = LaneChange(LaneProgress(1, {0: 1}, {}, 0.0), random_delta(keys, 1, sessions=False))
    packed = [unpack(value) for value in pack(change, {"a": "b"})]

    assert len(packed) == records
    assert len(concat(packed)) == keys
    assert not any(record.fingerprint or record.change.progress.positions for record in packed[:-1])


INPUTS = (
    *(InputPartition("t", "first", number) for number in range(3)),
    InputPartition("t", "second", 0),
)


def packed_record(settings: dict[str, str] | None = FINGERPRINT) -> bytes:
    [value] = pack(
        LaneChange(
            LaneProgress(7, {0: 5, 3: 9}, {0: 1.5}, 1.0, INPUTS), random_delta(3, 1, sessions=True)
        ),
        settings,
        run=9,
    )
    return value


def test_another_version_is_named() -> None:
    value = bytes([VERSION + 1]) + packed_record()[1:]
    with pytest.raises(StateError, match=f"version {VERSION + 1}.*reads version {VERSION}"):
        unpack(value)


@given(st.binary(max_size=200))
def test_garbage_is_a_state_error_or_read(value: bytes) -> None:
    with contextlib.suppress(StateError):
        unpack(value)


@given(st.integers(0, 400))
def test_a_truncated_record_is_an_error(length: int) -> None:
    value = packed_record()
    if length >= len(value):
        return
    with pytest.raises(StateError, match="cannot be read"):
        unpack(value[:length])


@given(st.integers(1, 10_000), st.binary(min_size=1, max_size=4))
def test_a_corrupt_record_is_read_or_an_error(at: int, corrupt: bytes) -> None:
    value = bytearray(packed_record())
    at %= len(value)
    value[at : at + len(corrupt)] = corrupt
    with contextlib.suppress(StateError):
        unpack(bytes(value))


def test_the_documented_layout() -> None:
    """A reader that follows docs/changelog.md must be able to read records."""
    value = packed_record()
    head, position = struct.Struct("<BBQQdIII"), struct.Struct("<Iqd")
    *fields, header_bytes = head.unpack_from(value)
    assert fields == [VERSION, 1 | 2 | 16, 9, 7, 1.0, 2, 3]
    assert position.unpack_from(value, head.size) == (0, 5, 1.5)
    assert position.unpack_from(value, head.size + 20) == (3, 9, float("-inf"))
    at = head.size + 40
    assert json.loads(value[at : at + header_bytes]) == {
        "settings": FINGERPRINT,
        "inputs": [["t", "first", 0, 3], ["t", "second", 0, 1]],
    }
    assert len(value) == at + header_bytes + 3 * (16 + 8 + 8 + 8)
    changed = head.unpack_from(packed_record(None))
    assert changed == (VERSION, 1 | 2, 9, 7, 1.0, 2, 3, 0)


def test_inputs_are_read_back() -> None:
    assert unpack(packed_record()).change.progress.inputs == INPUTS


def test_a_table_of_too_many_inputs_is_an_error() -> None:
    """A damaged count must not take all memory."""
    value = bytearray(packed_record())
    count = value.index(b'3],["t"')
    value[count : count + 1] = b"9999999"
    struct.pack_into("<I", value, 34, struct.unpack_from("<I", value, 34)[0] + 6)
    with pytest.raises(StateError, match="too many input partitions"):
        unpack(bytes(value))
