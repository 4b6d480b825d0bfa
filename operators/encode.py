"""Encode: from verdicts to the records that are written."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

import msgspec

from operators.batches import Header, Headers, Records
from operators.deduplicate import LaneChange
from operators.split import Part
from operators.verdicts import (
    DUPLICATE,
    INVALID,
    LATE,
    NO_REFERENCE,
    VERDICTS,
    VerdictBatch,
    partition_and_offset,
)


@dataclass(slots=True)
class Progress:
    """What a verdict batch changes in its lane, besides the records it writes."""

    change: LaneChange
    keys_held: int
    matched: dict[str, int]


@dataclass(slots=True)
class Output:
    """The records of one verdict of one batch, ready to be written.

    number, parts: which batch of the lane, and how many outputs it has in all.
    progress: on the part that carries it (`unique`), None on the others.
    """

    lane: int
    number: int
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
        change=LaneChange(
            number=batch.number,
            positions=batch.positions,
            largest=batch.largest,
            watermark=batch.watermark,
            delta=batch.delta,
            summary=batch.summary,
        ),
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
        number=batch.number,
        parts=part.parts,
        verdict=part.verdict,
        records=records,
        read_at=batch.slice.spans.read_at,
        progress=_progress(part, names) if part.verdict == 0 else None,
    )


Encoder = Callable[[Part], Output]


def kafka_encoder(topic: str, names: Sequence[str]) -> Encoder:
    """Make the encoder for Kafka: records as they came, with headers that say why.

    topic: the input topic.  names: what `dedup.matched` says for each combination
    (and last, for near duplicates).  Unique records pass through untouched.
    """
    topic_bytes = topic.encode()
    matched_headers = [("dedup.matched", name.encode()) for name in names]

    def headers_of(part: Part, offsets: list[int]) -> list[Headers]:
        """Headers of every record of a part, after those that it came with."""
        batch = part.batch
        origin: list[Header] = [
            ("dedup.verdict", VERDICTS[part.verdict].encode()),
            ("dedup.topic", topic_bytes),
        ]
        # Headers that the records came with, by row of the batch.
        own = batch.slice.records.headers
        columns = [
            *map(repeat, origin),
            _partition_headers(part, "dedup.partition"),
            zip(repeat("dedup.offset"), map(b"%d".__mod__, offsets)),
        ]
        more = _duplicate_columns(part, matched_headers) if part.verdict == DUPLICATE else []
        # Those of all records are endless.
        added = list(map(list, zip(*columns, *(more or ()), strict=False)))
        rows = part.rows.tolist()
        if more is None:
            _add_duplicate(added, batch, rows, matched_headers)
        elif part.verdict == LATE:
            for headers, behind in zip(added, batch.behind[part.rows].tolist(), strict=True):
                headers.append(("dedup.reason", repr(behind).encode()))
        elif part.verdict == INVALID:
            _add_invalid(added, part, topic_bytes)
        if own is None:
            return added  # type: ignore[return-value]  # a list of lists is what is wanted
        places = batch.slice.rows[part.rows].tolist()
        return [[*(own[place] or ()), *extra] for place, extra in zip(places, added, strict=True)]

    def encode(part: Part) -> Output:
        records = _records(part)
        if part.verdict:
            records.headers = headers_of(part, records.offsets.tolist())
        return _output(part, records, names)

    return encode


def _partition_headers(part: Part, name: str) -> list[Header]:
    """Return a header for each record that tells its input partition."""
    spans = part.batch.slice.spans
    headers: dict[int, Header] = {
        span.partition: (name, b"%d" % span.partition) for span in spans.spans
    }
    if len(headers) == 1:
        return [*headers.values()] * len(part.rows)
    return list(map(headers.__getitem__, spans.partitions[part.rows].tolist()))


def _add_invalid(added: list[list[Header]], part: Part, topic: bytes) -> None:
    problems = part.batch.slice.decided.invalid
    offsets = part.batch.slice.offsets
    partitions = _partition_headers(part, "__connect.errors.partition")
    for headers, row, partition in zip(added, part.rows.tolist(), partitions, strict=True):
        reason, message = problems[row]
        headers.append(("dedup.reason", reason.encode()))
        headers.append(("__connect.errors.topic", topic))
        headers.append(partition)
        headers.append(("__connect.errors.offset", b"%d" % offsets[row]))
        headers.append(("__connect.errors.exception.class.name", _class_name(reason)))
        headers.append(("__connect.errors.exception.message", message.encode()))


def _duplicate_columns(
    part: Part, matched_headers: Sequence[Header]
) -> list[Iterable[Header]] | None:
    """Headers of duplicates, a column each: nearly all of a repeated key, made in C.

    None where records differ in which headers they have.
    """
    matches, rows = part.batch.matches, part.rows
    originals = matches.originals[rows]
    if part.batch.similarity is not None or (originals == NO_REFERENCE).any():
        return None
    if len(matched_headers) == 1:
        matched: Iterable[Header] = repeat(matched_headers[0])
    else:
        matched = map(matched_headers.__getitem__, matches.combination[rows].tolist())
    places = zip(*(column.tolist() for column in partition_and_offset(originals)), strict=True)
    return [matched, zip(repeat("dedup.original"), map(b"%d:%d".__mod__, places))]


def _add_duplicate(
    added: list[list[Header]],
    batch: VerdictBatch,
    rows: list[int],
    matched_headers: Sequence[Header],
) -> None:
    combination = batch.matches.combination.tolist()
    originals = batch.matches.originals.tolist()
    for headers, row in zip(added, rows, strict=True):
        headers.append(matched_headers[combination[row]])
        if originals[row] != NO_REFERENCE:
            headers.append(("dedup.original", b"%d:%d" % partition_and_offset(originals[row])))
        else:  # a Bloom filter knows no original, and may be wrong
            headers.append(("dedup.probable", b"true"))
        if batch.similarity is not None and batch.similarity[row] == batch.similarity[row]:
            headers.append(("dedup.similarity", repr(float(batch.similarity[row])).encode()))


def _class_name(reason: str) -> bytes:
    return f"dedup.Invalid{reason.capitalize()}".encode()


def json_encoder(names: Sequence[str]) -> Encoder:
    """Make the encoder for files: unique lines as they are, the others as JSON objects."""

    def line_of(part: Part, row: int, offset: int, value: bytes) -> bytes:
        batch = part.batch
        line: dict[str, object] = {"verdict": VERDICTS[part.verdict], "offset": offset}
        if part.verdict == DUPLICATE:
            line["matched"] = names[int(batch.matches.combination[row])]
            original = int(batch.matches.originals[row])
            if original != NO_REFERENCE:
                line["original"] = "{}:{}".format(*partition_and_offset(original))
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
        if part.verdict:
            rows = zip(part.rows.tolist(), records.offsets.tolist(), records.values, strict=True)
            records.values = [
                line_of(part, row, offset, value or b"") for row, offset, value in rows
            ]
        return _output(part, records, names)

    return encode
