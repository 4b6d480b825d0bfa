"""Reads the headers of output records for the audit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.cli.audit.answer_fields import missing_field_finder
from flows.cli.audit.earlier_topics import ORIGINAL_TOPIC_HEADER, Added, InputTopic
from flows.cli.audit.table import read_number
from flows.settings.model import Settings
from operators.encode.headers import VERDICT_HEADER

REASONS = ("dedup.matched", "dedup.reason")
NUMBERS = ("dedup.similarity", "dedup.reason")
# Kafka Connect's tools look for these on invalid records, besides topic, partition and offset.
_CONNECT_TEXTS = ("exception.class.name", "exception.message")


def reference(topic: InputTopic, added: Added) -> tuple[int, int]:
    """Partition and offset of the input record that headers name; −1 where they name none."""
    if not topic.is_of(added):
        return -1, -1
    return read_number(added.get("dedup.partition")), read_number(added.get("dedup.offset"))


def first_of(headers: Added, names: Iterable[str]) -> bytes | None:
    """Value of the first of these names that is among the headers; None for none."""
    return next((headers[name] for name in names if name in headers), None)


def missing_headers(
    settings: Settings,
    topic: InputTopic,
    added: Sequence[Added],
    references: Sequence[tuple[int, int]],
    columns: tuple[list[str], list[str], list[float]],
) -> list[str]:
    """For each record, name the first header that is missing or wrong; empty for none.

    topic: the input.  added: headers that the job added.  references: partition and offset of the
    input records.  columns: the matched combinations or reasons, originals, and numbers.
    """
    missing_field = missing_field_finder(settings)
    names = []
    for headers, place, why, original, number in zip(added, references, *columns, strict=True):
        name = _missing_reference(topic, headers, place)
        if not name:
            probable = headers.get("dedup.probable") == b"true"
            name = missing_field(text(headers[VERDICT_HEADER]), why, original, number, probable)
        if not name and headers[VERDICT_HEADER] == b"invalid":
            names.append(_missing_for_connect(topic, headers, place))
        else:
            names.append(name and f"dedup.{name}")
    return names


def _missing_reference(topic: InputTopic, headers: Added, place: tuple[int, int]) -> str:
    """Name a missing header among those that every answer has; empty for none."""
    if not headers.get(VERDICT_HEADER):
        return "verdict"
    if not topic.is_of(headers):
        return "topic"
    if topic.lacks_id(headers):
        return "topic.id"
    if ORIGINAL_TOPIC_HEADER in headers and not headers[ORIGINAL_TOPIC_HEADER]:
        return "original.topic"
    return "" if min(place) >= 0 else ("partition" if place[0] < 0 else "offset")


def _missing_for_connect(topic: InputTopic, headers: Added, place: tuple[int, int]) -> str:
    """Name a missing or wrong header of Kafka Connect's; empty for none."""
    expected = {
        "topic": topic.name.encode(),
        "partition": b"%d" % place[0],
        "offset": b"%d" % place[1],
    }
    for name, value in expected.items():
        if headers.get(f"__connect.errors.{name}") != value:
            return f"__connect.errors.{name}"
    for name in _CONNECT_TEXTS:
        if not headers.get(f"__connect.errors.{name}"):
            return f"__connect.errors.{name}"
    return ""


def text(value: bytes | None) -> str:
    """Read a header's value as text; empty for None."""
    return "" if value is None else value.decode("utf-8", "replace")
