"""Encodes verdicts: makes the output records that are written."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from operators.batches import FILE, Records
from operators.changes import LaneChange
from operators.columns.references import NO_REFERENCE, partition_and_offset
from operators.encode.headers import OutputHeaders
from operators.split import Part
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VERDICTS


@dataclass(slots=True)
class Progress:
    """What a verdict batch changes in its lane, besides the records that it writes.

    matched: duplicates by the name of the combination that matched.
    """

    change: LaneChange
    keys_held: int
    matched: dict[str, int]


@dataclass(slots=True)
class Output:
    """The records of one verdict of one batch, ready to be written.

    sequence: of the verdict batch in its lane.  parts: number of outputs of that batch.
    read_at: wall clock when its first record was read.  progress: only the unique part
    carries it.
    """

    lane: int
    sequence: int
    parts: int
    verdict: int
    records: Records
    read_at: float
    progress: Progress | None = None


def _records(part: Part) -> Records:
    slice_ = part.batch.slice
    return slice_.records.take(slice_.rows[part.rows])


def _progress(part: Part, names: Sequence[str]) -> Progress:
    batch = part.batch
    matched = batch.matches.combination
    return Progress(
        change=batch.change,
        keys_held=batch.keys_held,
        matched={
            name: count
            for index, name in enumerate(names)
            if (count := int((matched == index).sum()))
        },
    )


def _output(part: Part, records: Records, names: Sequence[str]) -> Output:
    batch = part.batch
    return Output(
        lane=batch.lane,
        sequence=batch.change.progress.sequence,
        parts=part.parts,
        verdict=part.verdict,
        records=records,
        read_at=batch.slice.spans.read_at,
        progress=_progress(part, names) if part.verdict == UNIQUE else None,
    )


Encoder = Callable[[Part], Output]


def kafka_encoder(names: Sequence[str]) -> Encoder:
    """Make the encoder for Kafka: input records, with headers that explain the verdict.

    names: values of `dedup.matched`, one for each combination and a last one for near
    duplicates.  Unique records pass through unchanged.
    """
    headers = OutputHeaders(names)

    def encode(part: Part) -> Output:
        records = _records(part)
        if part.verdict != UNIQUE:
            records.headers = headers.of(part, records.offsets)
        return _output(part, records, names)

    return encode


def json_encoder(names: Sequence[str]) -> Encoder:
    """Make the encoder for files: unique lines unchanged, other lines as JSON objects."""

    def line_of(part: Part, row: int, offset: int, value: bytes) -> bytes:
        batch = part.batch
        line: dict[str, object] = {"verdict": VERDICTS[part.verdict], "offset": offset}
        if part.verdict == DUPLICATE:
            line["matched"] = names[int(batch.matches.combination[row])]
            original = int(batch.matches.originals[row])
            if original != NO_REFERENCE:
                _, offset_of_original = partition_and_offset(original)
                line["original"] = f"{FILE.partition}:{offset_of_original}"
            else:
                line["probable"] = True
            if batch.similarity is not None and batch.similarity[row] == batch.similarity[row]:
                line["similarity"] = float(batch.similarity[row])
        elif part.verdict == LATE:
            line["reason"] = float(batch.behind[row])
        elif part.verdict == INVALID:
            line["reason"] = batch.slice.decided.invalid[row][0]
        try:
            line["value"] = value.decode()
        except UnicodeDecodeError:
            line["value_base64"] = base64.b64encode(value).decode()
        return msgspec.json.encode(line)

    def encode(part: Part) -> Output:
        records = _records(part)
        if part.verdict != UNIQUE:
            rows = zip(part.rows.tolist(), records.offsets.tolist(), records.values, strict=True)
            records.values = [
                line_of(part, row, offset, value or b"") for row, offset, value in rows
            ]
        return _output(part, records, names)

    return encode
