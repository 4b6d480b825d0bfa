"""The records that come out, as docs/reference/output-records.md has them."""

import base64
import enum
from typing import TypeAlias

from tests.model.json_values import Json, number_text
from tests.model.records import Record, Settings, Verdict


class Free(enum.Enum):
    """In place of a header's value: any UTF-8 string that is not empty."""

    TEXT = enum.auto()


HeaderValue: TypeAlias = "bytes | Free | None"


def output_headers(
    record: Record, verdict: Verdict, settings: Settings, topic: str, topic_id: str = ""
) -> list[tuple[str, HeaderValue]]:
    """All headers of the output record: the input's, then those added (in no promised order).

    topic: where the record came from.  topic_id: of that topic, empty where brokers give none.
    settings: reserved for verdicts that give less (none yet).
    """
    del settings
    headers: list[tuple[str, HeaderValue]] = list(record.headers or [])
    if verdict.kind == "unique":
        return headers
    place = {"topic": topic, "partition": str(record.partition), "offset": str(record.offset)}
    added = {"verdict": verdict.kind, **place}
    if topic_id:
        added["topic.id"] = topic_id
    if verdict.matched is not None:
        added["matched"] = verdict.matched
    if verdict.original is not None:
        added["original"] = _place(verdict.original)
    # Choice: numbers are the shortest text, whole ones without a fraction.  Compare as numbers.
    if verdict.similarity is not None:
        added["similarity"] = number_text(verdict.similarity)
    if verdict.late_by is not None:
        added["reason"] = number_text(verdict.late_by)
    if verdict.reason is not None:
        added["reason"] = verdict.reason
    headers += [(f"dedup.{name}", value.encode()) for name, value in added.items()]
    if verdict.kind == "invalid":
        headers += [(f"__connect.errors.{name}", value.encode()) for name, value in place.items()]
        headers += [
            (f"__connect.errors.exception.{name}", Free.TEXT) for name in ("class.name", "message")
        ]
    return headers


def output_line(record: Record, verdict: Verdict) -> dict[str, Json]:
    """Members of the embedded mode's line for a record that is not unique.

    Raises ValueError for a unique record: that is the input line itself.
    """
    if verdict.kind == "unique" or record.value is None:
        message = "a unique record is the input line, byte for byte"
        raise ValueError(message)
    line: dict[str, Json] = {
        "verdict": verdict.kind,
        "offset": record.offset,
        "matched": verdict.matched,
        "original": None if verdict.original is None else _place(verdict.original),
        # Choice: "as a number": a JSON number.
        "reason": verdict.reason if verdict.late_by is None else verdict.late_by,
        "similarity": verdict.similarity,
    }
    try:
        line["value"] = record.value.decode("utf-8")
    except UnicodeDecodeError:
        line["value_base64"] = base64.b64encode(record.value).decode()
    return {name: value for name, value in line.items() if value is not None}


def _place(place: tuple[int, int]) -> str:
    partition, offset = place
    return f"{partition}:{offset}"
