"""The changelog's records: what is packed is read again, and nothing else is."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.exactly_once import changelog_format
from connectors.exactly_once.changelog_format import (
    KEYS_PER_RECORD,
    VERSION,
    ChangelogRecord,
    pack,
    unpack,
)
from operators.changes import Delta, LaneChange, LaneProgress
from operators.errors import StateError

LARGEST_RECORD_BYTES = 1024 * 1024  # connectors/exactly_once/changelog_topic.py: max.message.bytes

times = st.floats(allow_nan=False)
partitions = st.integers(0, 2**16 - 1)
fingerprints = st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4)


def delta(size: int, seed: int, *, sessions: bool) -> Delta:
    draw = np.random.default_rng(seed)
    return Delta(
        draw.integers(0, 2**64 - 1, (size, 2), np.uint64, endpoint=True),
        draw.random(size) * 2e9,
        draw.integers(0, 2**63 - 1, size, np.int64),
        draw.random(size) * 2e9 if sessions else None,
    )


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
        ),
        delta(
            draw(st.integers(0, 3 * KEYS_PER_RECORD)),
            draw(st.integers(0, 99)),
            sessions=draw(st.booleans()),
        ),
    )


def joined(records: list[ChangelogRecord]) -> Delta:
    return Delta.concat([record.change.delta for record in records])


@given(changes(), fingerprints)
def test_round_trip(change: LaneChange, fingerprint: dict[str, str]) -> None:
    packed = list(pack(change, fingerprint))
    records = [unpack(value) for value in packed]
    last = records[-1]

    assert [record.last for record in records] == [False] * (len(records) - 1) + [True]
    assert all(len(value) < LARGEST_RECORD_BYTES for value in packed)
    assert last.fingerprint == fingerprint
    assert last.change.progress == change.progress
    together = joined(records)
    assert np.array_equal(together.hashes, change.delta.hashes)
    assert np.array_equal(together.times, change.delta.times)
    assert np.array_equal(together.references, change.delta.references)
    if len(change.delta):
        assert (together.firsts is None) == (change.delta.firsts is None)
    if together.firsts is not None and change.delta.firsts is not None:
        assert np.array_equal(together.firsts, change.delta.firsts)


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
    change = LaneChange(LaneProgress(1, {0: 1}, {}, 0.0), delta(keys, 1, sessions=False))
    packed = [unpack(value) for value in pack(change, {"a": "b"})]

    assert len(packed) == records
    assert len(joined(packed)) == keys
    assert all(not one.fingerprint and not one.change.progress.positions for one in packed[:-1])


def one_record() -> bytes:
    [value] = pack(
        LaneChange(LaneProgress(7, {0: 5, 3: 9}, {0: 1.5}, 1.0), delta(3, 1, sessions=True)),
        {"a": "b"},
    )
    return value


def test_another_version_is_named() -> None:
    value = bytes([VERSION + 1]) + one_record()[1:]
    with pytest.raises(StateError, match=f"version {VERSION + 1}.*reads version {VERSION}"):
        unpack(value)


@given(st.binary(max_size=200))
def test_garbage_is_an_error_that_can_be_read(value: bytes) -> None:
    with contextlib.suppress(StateError):
        unpack(value)


@given(st.integers(0, 400))
def test_a_record_that_was_cut_short_is_an_error(length: int) -> None:
    value = one_record()
    if length >= len(value):
        return
    with pytest.raises(StateError, match="cannot be read"):
        unpack(value[:length])


@given(st.integers(1, 10_000), st.binary(min_size=1, max_size=4))
def test_a_record_that_was_spoilt_is_read_or_an_error(at: int, corrupt: bytes) -> None:
    value = bytearray(one_record())
    at %= len(value)
    value[at : at + len(corrupt)] = corrupt
    with contextlib.suppress(StateError):
        unpack(bytes(value))


def test_the_documented_layout() -> None:
    """docs/changelog.md gives this layout: a reader written from it must be able to read."""
    value = one_record()
    head = struct.Struct("<BBQdIII")
    assert head.unpack_from(value)[:6] == (VERSION, 1 | 2, 7, 1.0, 2, 3)
    assert changelog_format._POSITION.unpack_from(value, head.size) == (0, 5, 1.5)
    assert changelog_format._POSITION.unpack_from(value, head.size + 20) == (3, 9, float("-inf"))
