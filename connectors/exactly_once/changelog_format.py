"""Packs and reads the changelog's records (docs/changelog.md describes the format).

A lane's transaction ends with one record that says what it answered.  If it adds many keys, further
records before that one carry them.  Some of the last records are whole: they hold what the others
leave out, the settings, the table of input partitions, and the positions that have not moved.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from operators.batches import InputPartition
from operators.changes import Delta, LaneChange, LaneProgress, NearRecords, Summary
from operators.columns.references import MAX_PARTITIONS
from operators.errors import StateError

VERSION = 2
BEGINNING = 0
"""Sequence of the record that an application begins with: it says where reading began."""
# Far below the default limit of a megabyte, with at most 40 bytes per key.
KEYS_PER_RECORD = 16_384
# Rows of statistics: an event type has at most 200 characters, which are 1,200 bytes of JSON.
ROWS_PER_RECORD = 200
# Bytes of near duplicates' texts; one text may be longer than a record can be.
TEXT_BYTES_PER_RECORD = 65_536

# version, flags, run, sequence, watermark, positions, keys, header
_HEAD = struct.Struct("<BBQQdIII")
_POSITION = struct.Struct("<Iqd")  # number of the partition, next offset, largest event time
_TEXT_BYTES = struct.Struct("<I")
_LAST, _HAS_FIRSTS, _HAS_SUMMARY, _HAS_TEXTS, _WHOLE = 1, 2, 4, 8, 16


class _Header(msgspec.Struct, frozen=True):
    """What only whole records hold.

    settings: setting → text.  inputs: the input partitions by number, as runs of
    (topic, its id, first partition, how many).
    """

    settings: dict[str, str]
    inputs: list[tuple[str, str, int, int]]


@dataclass(frozen=True, slots=True)
class ChangelogRecord:
    """The content of one record.

    last: whether it ends its transaction; only then do sequence and positions count.
    whole: whether it holds all positions, the table of input partitions, and the fingerprint
    (setting → text); other records hold the positions that have moved since the last one.
    texts: its part of the transaction's `Delta.near`, packed; `changes_of` puts the parts
    together.  run: names the opening of the lane that wrote it.
    """

    last: bool
    change: LaneChange
    fingerprint: dict[str, str]
    texts: bytes = b""
    whole: bool = False
    run: int = 0


def pack(change: LaneChange, fingerprint: dict[str, str] | None, run: int = 0) -> Iterator[bytes]:
    """Pack the change of a transaction into records, the last one last.

    run: names the opening of the lane that writes it.  fingerprint: setting → text, for a whole
    record; None for one of what has changed.
    """
    delta = change.delta
    summaries = [] if change.summary is None else list(change.summary.parts(ROWS_PER_RECORD))
    texts = b"" if delta.near is None else delta.near.pack()
    count = max(
        -(-len(delta) // KEYS_PER_RECORD),
        -(-len(texts) // TEXT_BYTES_PER_RECORD),
        len(summaries),
        1,
    )
    for index in range(count):
        rows = slice(index * KEYS_PER_RECORD, (index + 1) * KEYS_PER_RECORD)
        last = index == count - 1
        summary = summaries[index] if index < len(summaries) else None
        part = Delta(
            delta.hashes[rows],
            delta.times[rows],
            delta.references[rows],
            None if delta.firsts is None else delta.firsts[rows],
        )
        yield _pack_record(
            ChangelogRecord(
                last,
                replace(change, delta=part, summary=summary),
                fingerprint or {},
                texts[index * TEXT_BYTES_PER_RECORD : (index + 1) * TEXT_BYTES_PER_RECORD],
                whole=last and fingerprint is not None,
                run=run,
            )
        )


def _pack_record(record: ChangelogRecord) -> bytes:
    change, last = record.change, record.last
    progress = change.progress
    delta, summary = change.delta, change.summary
    header = b""
    if record.whole:
        header = msgspec.json.encode(_Header(record.fingerprint, _runs(progress.inputs)))
    statistics = b"" if summary is None else msgspec.json.encode(summary)
    positions = [
        _POSITION.pack(partition, offset, progress.max_event_times.get(partition, float("-inf")))
        for partition, offset in (progress.positions.items() if last else ())
    ]
    flags = (
        (_LAST if last else 0)
        | (_WHOLE if record.whole else 0)
        | (0 if delta.firsts is None else _HAS_FIRSTS)
        | (0 if summary is None else _HAS_SUMMARY)
        | (_HAS_TEXTS if record.texts else 0)
    )
    columns = [delta.hashes, delta.times, delta.references]
    if delta.firsts is not None:
        columns.append(delta.firsts)
    return b"".join(
        (
            _HEAD.pack(
                VERSION,
                flags,
                record.run,
                progress.sequence,
                progress.watermark,
                len(positions),
                len(delta),
                len(header),
            ),
            *positions,
            header,
            *(np.ascontiguousarray(column).tobytes() for column in columns),
            *((_TEXT_BYTES.pack(len(record.texts)), record.texts) if record.texts else ()),
            statistics,
        )
    )


def unpack(value: bytes) -> ChangelogRecord:
    """Read a record.  Raises StateError if it is not ours, or of another version."""
    try:
        version = value[0]
        if version != VERSION:
            msg = (
                f"the changelog has records of version {version}, this program reads version "
                f"{VERSION}: run the version that wrote it"
            )
            raise StateError(msg)
        _, flags, run, sequence, watermark, moved, keys, header_bytes = _HEAD.unpack_from(value)
        at = _HEAD.size
        positions: dict[int, int] = {}
        max_event_times: dict[int, float] = {}
        for _ in range(moved):
            partition, offset, time = _POSITION.unpack_from(value, at)
            positions[partition] = offset
            if time > float("-inf"):
                max_event_times[partition] = time
            at += _POSITION.size
        header = _Header({}, [])
        if header_bytes:
            header = msgspec.json.decode(value[at : at + header_bytes], type=_Header)
        inputs = _partitions(header.inputs)
        at += header_bytes
        hashes = np.frombuffer(value, "<u8", keys * 2, at).reshape(-1, 2)
        times = np.frombuffer(value, "<f8", keys, at + keys * 16)
        references = np.frombuffer(value, "<i8", keys, at + keys * 24)
        firsts = np.frombuffer(value, "<f8", keys, at + keys * 32) if flags & _HAS_FIRSTS else None
        at += keys * (40 if flags & _HAS_FIRSTS else 32)
        texts = b""
        if flags & _HAS_TEXTS:
            (length,) = _TEXT_BYTES.unpack_from(value, at)
            at += _TEXT_BYTES.size
            texts = value[at : at + length]
            at += length
        summary = msgspec.json.decode(value[at:], type=Summary) if flags & _HAS_SUMMARY else None
    except (struct.error, ValueError, IndexError, msgspec.MsgspecError) as error:
        msg = f"the changelog has a record that cannot be read ({error}): is the topic another's?"
        raise StateError(msg) from error
    change = LaneChange(
        LaneProgress(sequence, positions, max_event_times, watermark, inputs),
        Delta(hashes, times, references, firsts),
        summary,
    )
    last, whole = bool(flags & _LAST), bool(flags & _WHOLE)
    return ChangelogRecord(last, change, header.settings, texts, whole, run)


def _runs(inputs: Iterable[InputPartition]) -> list[tuple[str, str, int, int]]:
    """Put partitions of a topic that follow one another into runs."""
    runs: list[tuple[str, str, int, int]] = []
    for topic, topic_id, partition in inputs:
        if runs:
            *run_of, first, count = runs[-1]
            if (*run_of, first + count) == (topic, topic_id, partition):
                runs[-1] = (topic, topic_id, first, count + 1)
                continue
        runs.append((topic, topic_id, partition, 1))
    return runs


def _partitions(runs: Sequence[tuple[str, str, int, int]]) -> tuple[InputPartition, ...]:
    if sum(max(count, 0) for *_, count in runs) > MAX_PARTITIONS:
        msg = "too many input partitions"
        raise ValueError(msg)
    return tuple(
        InputPartition(topic, topic_id, partition)
        for topic, topic_id, first, count in runs
        for partition in range(first, first + count)
    )


def changes_of(records: Sequence[ChangelogRecord]) -> list[LaneChange]:
    """Return the changes of a whole transaction, given all its records.  Raises StateError."""
    changes = [record.change for record in records]
    texts = b"".join([record.texts for record in records])
    if texts:
        try:
            near = NearRecords.unpack(texts)
        except (struct.error, ValueError) as error:
            msg = f"the changelog has texts that cannot be read ({error}): is the topic another's?"
            raise StateError(msg) from error
        last = changes[-1]
        changes[-1] = replace(last, delta=replace(last.delta, near=near))
    return changes
