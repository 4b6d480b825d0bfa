"""Headers of records that are not unique: why, and where they came from; and how to strip them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn
from operators.columns.decimals import decimals
from operators.columns.header_table import Header, Headers, HeaderTable, Value
from operators.columns.references import NO_REFERENCE, partition_and_offset
from operators.split import Part
from operators.verdicts import DUPLICATE, INVALID, LATE, VERDICTS, VerdictBatch

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

    def __init__(self, topic: str, names: Sequence[str]) -> None:
        """topic: the input topic.  names: what `dedup.matched` says for each combination."""
        self._topic = topic.encode()
        self._matched = [name.encode() for name in names]

    def of(self, part: Part, offsets: Ints) -> Sequence[Headers]:
        """Headers of every record of a part, after those that it came with."""
        rows = part.rows
        table = self._table(part, offsets)
        # Headers that the records came with, by row of the batch.
        own = part.batch.slice.records.headers
        original = part.verdict == DUPLICATE and "dedup.original" not in table.columns
        if own is None and not original:
            return table
        added = table.rows()
        if original:
            _add_original(added, part.batch, rows.tolist())
        if own is None:
            return added
        places = part.batch.slice.rows[rows].tolist()
        return [[*(own[place] or ()), *extra] for place, extra in zip(places, added, strict=True)]

    def _table(self, part: Part, offsets: Ints) -> HeaderTable:
        """Return what all records of a part have: nearly always that is all there is."""
        batch, rows = part.batch, part.rows
        columns: dict[str, Value] = {
            VERDICT_HEADER: VERDICTS[part.verdict].encode(),
            "dedup.topic": self._topic,
            "dedup.partition": _partitions(part),
            "dedup.offset": decimals(offsets),
        }
        if part.verdict == DUPLICATE:
            columns["dedup.matched"] = _matched(part, self._matched)
            originals = batch.matches.originals[rows]
            if batch.similarity is None and not (originals == NO_REFERENCE).any():
                columns["dedup.original"] = decimals(*partition_and_offset(originals))
        elif part.verdict == LATE:
            columns["dedup.reason"] = [
                repr(behind).encode() for behind in batch.behind[rows].tolist()
            ]
        elif part.verdict == INVALID:
            problems = [batch.slice.decided.invalid[row] for row in rows.tolist()]
            columns["dedup.reason"] = [reason.encode() for reason, _ in problems]
            # What Kafka Connect's tools look for.
            columns["__connect.errors.topic"] = self._topic
            columns["__connect.errors.partition"] = columns["dedup.partition"]
            columns["__connect.errors.offset"] = columns["dedup.offset"]
            columns["__connect.errors.exception.class.name"] = [
                _class_name(reason) for reason, _ in problems
            ]
            columns["__connect.errors.exception.message"] = [
                message.encode() for _, message in problems
            ]
        return HeaderTable(len(rows), columns)


def _partitions(part: Part) -> bytes | ByteColumn:
    """Input partition of each record as text."""
    spans = part.batch.slice.spans
    different = {span.partition for span in spans.spans}
    if len(different) == 1:
        return b"%d" % different.pop()
    return decimals(spans.partitions[part.rows])


def _matched(part: Part, names: Sequence[bytes]) -> bytes | list[bytes]:
    """Which combination matched, by name."""
    if len(names) == 1:
        return names[0]
    return list(map(names.__getitem__, part.batch.matches.combination[part.rows].tolist()))


def _add_original(added: list[list[Header]], batch: VerdictBatch, rows: list[int]) -> None:
    """Add where the first record is, or that nobody knows, and how similar it is."""
    originals = batch.matches.originals.tolist()
    for headers, row in zip(added, rows, strict=True):
        if originals[row] != NO_REFERENCE:
            headers.append(("dedup.original", b"%d:%d" % partition_and_offset(originals[row])))
        else:  # a Bloom filter knows no original, and may be wrong
            headers.append(("dedup.probable", b"true"))
        if batch.similarity is not None and batch.similarity[row] == batch.similarity[row]:
            headers.append(("dedup.similarity", repr(float(batch.similarity[row])).encode()))


def _class_name(reason: str) -> bytes:
    return f"dedup.Invalid{reason.capitalize()}".encode()


def split_headers(headers: Headers) -> tuple[list[Header], dict[str, bytes | None]]:
    """Part a record's own headers from those that the job added: from the last verdict on.

    A record that came with such headers, because it was an output before, keeps
    them.  The second is empty where nothing was added.
    """
    own = list(headers or ())
    for at in reversed(range(len(own))):
        if own[at][0] == VERDICT_HEADER:
            return own[:at], dict(own[at:])
    return own, {}
