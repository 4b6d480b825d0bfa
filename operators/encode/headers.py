"""Headers of records that are not unique: why, and where they came from; and how to strip them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from operators.batches import InputPartition
from operators.columns.arrays import Ints
from operators.columns.decimals import decimals
from operators.columns.header_table import Header, Headers, HeaderTable, Value
from operators.columns.references import NO_REFERENCE, partition_and_offset
from operators.split import Part
from operators.verdicts import DUPLICATE, INVALID, LATE, VERDICTS

VERDICT_HEADER = "dedup.verdict"
_NOT_UNIQUE = "duplicate, late, invalid"


class HeaderMeaning(NamedTuple):
    """A header, the records that have it, and what its value says, as Markdown."""

    name: str
    on: str
    value: str


HEADERS = (
    HeaderMeaning(VERDICT_HEADER, _NOT_UNIQUE, "`duplicate`, `late` or `invalid`"),
    HeaderMeaning("dedup.topic", _NOT_UNIQUE, "the input topic"),
    HeaderMeaning(
        "dedup.topic.id",
        _NOT_UNIQUE,
        "Kafka's id of that topic, as its tools show it: a topic that is deleted and created "
        "again has another one; not from brokers before 2.8",
    ),
    HeaderMeaning("dedup.partition", _NOT_UNIQUE, "the record's partition in the input topic"),
    HeaderMeaning("dedup.offset", _NOT_UNIQUE, "the record's offset in that partition"),
    HeaderMeaning(
        "dedup.matched",
        "duplicate",
        "the combination that matched, its fields joined by `,`; `content`; or `similar`",
    ),
    HeaderMeaning(
        "dedup.original",
        "duplicate",
        "`partition:offset` of the unique record that it repeats; not with `dedup.probable`",
    ),
    HeaderMeaning(
        "dedup.original.topic",
        "duplicate",
        "the topic of that record, if it is another one, or one of the same name that was deleted",
    ),
    HeaderMeaning(
        "dedup.probable",
        "duplicate, `DEDUP_STATE=bloom`",
        "`true`: the key may be a false positive, and no original is known",
    ),
    HeaderMeaning("dedup.similarity", "near duplicate", "similarity to the original, a number"),
    HeaderMeaning(
        "dedup.reason",
        "late, invalid",
        "late: seconds behind the watermark, a number; invalid: the reason",
    ),
    HeaderMeaning(
        "dedup.replays",
        "replayed records, in every topic",
        "how often `dedup replay` has sent the record",
    ),
    HeaderMeaning(
        "__connect.errors.topic", "invalid", "as `dedup.topic`, for Kafka Connect's tools"
    ),
    HeaderMeaning("__connect.errors.partition", "invalid", "as `dedup.partition`"),
    HeaderMeaning("__connect.errors.offset", "invalid", "as `dedup.offset`"),
    HeaderMeaning(
        "__connect.errors.exception.class.name",
        "invalid",
        "`dedup.Invalid` and the reason: `dedup.InvalidJson`, `dedup.InvalidSchema`, …",
    ),
    HeaderMeaning("__connect.errors.exception.message", "invalid", "what is wrong, in words"),
)
"""All headers that the job adds."""


class OutputHeaders:
    """Makes the headers of a part's records."""

    def __init__(self, names: Sequence[str]) -> None:
        """names: values of `dedup.matched`, one for each combination."""
        self._matched = [name.encode() for name in names]

    def of(self, part: Part, offsets: Ints) -> Sequence[Headers]:
        """Return the headers of each record of a part: its own first, then those added."""
        rows = part.rows
        table = self._table(part, offsets)
        # The records' own headers, by row of the batch.
        own = part.batch.slice.records.headers
        row_by_row = part.verdict == DUPLICATE and "dedup.original" not in table.columns
        if own is None and not row_by_row:
            return table
        added = table.rows()
        if row_by_row:
            _add_original(added, part)
        if own is None:
            return added
        places = part.batch.slice.rows[rows].tolist()
        return [[*(own[place] or ()), *extra] for place, extra in zip(places, added, strict=True)]

    def _table(self, part: Part, offsets: Ints) -> HeaderTable:
        """Return the headers that all records of a part have: nearly always all headers."""
        batch, rows = part.batch, part.rows
        columns: dict[str, Value] = {
            VERDICT_HEADER: VERDICTS[part.verdict].encode(),
            **_places(part),
            "dedup.offset": decimals(offsets),
        }
        if part.verdict == DUPLICATE:
            columns["dedup.matched"] = _matched(part, self._matched)
            originals = batch.matches.originals[rows]
            if (
                batch.similarity is None
                and not (originals == NO_REFERENCE).any()
                and len(_topics(batch.change.progress.inputs)) == 1
            ):
                numbers, original_offsets = partition_and_offset(originals)
                partitions = np.array([one.partition for one in batch.change.progress.inputs])
                columns["dedup.original"] = decimals(partitions[numbers], original_offsets)
        elif part.verdict == LATE:
            columns["dedup.reason"] = [
                repr(behind).encode() for behind in batch.behind[rows].tolist()
            ]
        elif part.verdict == INVALID:
            problems = [batch.slice.decided.invalid[row] for row in rows.tolist()]
            columns["dedup.reason"] = [reason.encode() for reason, _ in problems]
            # Kafka Connect's tools read these.
            columns["__connect.errors.topic"] = columns["dedup.topic"]
            columns["__connect.errors.partition"] = columns["dedup.partition"]
            columns["__connect.errors.offset"] = columns["dedup.offset"]
            columns["__connect.errors.exception.class.name"] = [
                _class_name(reason) for reason, _ in problems
            ]
            columns["__connect.errors.exception.message"] = [
                message.encode() for _, message in problems
            ]
        return HeaderTable(len(rows), columns)


def _places(part: Part) -> dict[str, Value]:
    """Return the headers that say from which topic and partition each record came."""
    spans = part.batch.slice.spans
    inputs = [span.partition for span in spans.spans]
    columns: dict[str, Value] = {}
    topics = _topics(inputs)
    if len(topics) == 1:
        columns["dedup.topic"] = inputs[0].topic.encode()
        if inputs[0].topic_id:
            columns["dedup.topic.id"] = inputs[0].topic_id.encode()
    else:
        of_rows = spans.of_rows(range(len(inputs)))[part.rows].tolist()
        columns["dedup.topic"] = [inputs[row].topic.encode() for row in of_rows]
        if all(one.topic_id for one in inputs):
            columns["dedup.topic.id"] = [inputs[row].topic_id.encode() for row in of_rows]
    if len(set(inputs)) == 1:
        columns["dedup.partition"] = b"%d" % inputs[0].partition
    else:
        partitions = spans.of_rows([one.partition for one in inputs])
        columns["dedup.partition"] = decimals(partitions[part.rows])
    return columns


def _topics(inputs: Iterable[InputPartition]) -> set[tuple[str, str]]:
    """Return the names and ids of the topics of partitions."""
    return {(one.topic, one.topic_id) for one in inputs}


def _matched(part: Part, names: Sequence[bytes]) -> bytes | list[bytes]:
    """Return the name of the combination that matched, for each record or for all."""
    if len(names) == 1:
        return names[0]
    return list(map(names.__getitem__, part.batch.matches.combination[part.rows].tolist()))


def _add_original(added: list[list[Header]], part: Part) -> None:
    """Add the original's place, or that it is unknown, and how similar it is."""
    batch, spans = part.batch, part.batch.slice.spans
    originals = batch.matches.originals.tolist()
    inputs = batch.change.progress.inputs
    own = spans.of_rows(range(len(spans.spans))).tolist()
    for headers, row in zip(added, part.rows.tolist(), strict=True):
        if originals[row] != NO_REFERENCE:
            number, offset = partition_and_offset(originals[row])
            original, repeat = inputs[number], spans.spans[own[row]].partition
            headers.append(("dedup.original", b"%d:%d" % (original.partition, offset)))
            if original[:2] != repeat[:2]:
                headers.append(("dedup.original.topic", original.topic.encode()))
        else:  # a Bloom filter does not know the original, and may be wrong
            headers.append(("dedup.probable", b"true"))
        if batch.similarity is not None and batch.similarity[row] == batch.similarity[row]:
            headers.append(("dedup.similarity", repr(float(batch.similarity[row])).encode()))


def _class_name(reason: str) -> bytes:
    return f"dedup.Invalid{reason.capitalize()}".encode()


def split_headers(headers: Headers) -> tuple[list[Header], dict[str, bytes | None]]:
    """Separate a record's own headers from those that the job added.

    The added headers begin at the last `dedup.verdict`; there are none without it.  An
    input record that was an output before has such headers of its own, and keeps them.
    """
    own = list(headers or ())
    for at in reversed(range(len(own))):
        if own[at][0] == VERDICT_HEADER:
            return own[:at], dict(own[at:])
    return own, {}
