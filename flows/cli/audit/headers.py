"""The headers of output records, as the audit reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flows.cli.audit.answer_fields import what_is_lacking
from flows.cli.audit.table import number
from flows.settings.model import Settings
from operators.encode.headers import VERDICT_HEADER

REASONS = ("dedup.matched", "dedup.reason")
NUMBERS = ("dedup.similarity", "dedup.reason")
# What Kafka Connect's tools look for on invalid records, besides where they came from.
_WORDS = ("exception.class.name", "exception.message")


def reference(settings: Settings, added: Mapping[str, bytes | None]) -> tuple[int, int]:
    """Partition and offset of the input record that headers name; −1 where they do not."""
    if added.get("dedup.topic") != settings.input_topic.encode():
        return -1, -1
    return number(added.get("dedup.partition")), number(added.get("dedup.offset"))


def first_of(headers: Mapping[str, bytes | None], names: Iterable[str]) -> bytes | None:
    """Value of the first of some headers that is there."""
    return next((headers[name] for name in names if name in headers), None)


def lacking_of(
    settings: Settings,
    added: Sequence[Mapping[str, bytes | None]],
    references: Sequence[tuple[int, int]],
    columns: tuple[list[str], list[str], list[float]],
) -> list[str]:
    """Name the first header of each record that is missing or makes no sense.

    columns: what it matched or its reason, original, and number of each.
    """
    lacking = what_is_lacking(settings)
    names = []
    for headers, place, why, original, amount in zip(added, references, *columns, strict=True):
        name = _unplaced(settings, headers, place)
        if not name:
            probable = headers.get("dedup.probable") == b"true"
            name = lacking(text(headers[VERDICT_HEADER]), why, original, amount, probable)
        if not name and headers[VERDICT_HEADER] == b"invalid":
            names.append(_without_connect(settings, headers, place))
        else:
            names.append(name and f"dedup.{name}")
    return names


def _unplaced(
    settings: Settings, headers: Mapping[str, bytes | None], place: tuple[int, int]
) -> str:
    """Which of the headers that every answer has is missing."""
    if not headers.get(VERDICT_HEADER):
        return "verdict"
    if headers.get("dedup.topic") != settings.input_topic.encode():
        return "topic"
    return "" if min(place) >= 0 else ("partition" if place[0] < 0 else "offset")


def _without_connect(
    settings: Settings, headers: Mapping[str, bytes | None], place: tuple[int, int]
) -> str:
    """Which of the headers that Kafka Connect's tools look for is missing or wrong."""
    wanted = {
        "topic": settings.input_topic.encode(),
        "partition": b"%d" % place[0],
        "offset": b"%d" % place[1],
    }
    for name, value in wanted.items():
        if headers.get(f"__connect.errors.{name}") != value:
            return f"__connect.errors.{name}"
    for name in _WORDS:
        if not headers.get(f"__connect.errors.{name}"):
            return f"__connect.errors.{name}"
    return ""


def text(value: bytes | None) -> str:
    """Read a header's value; empty where there is none."""
    return "" if value is None else value.decode("utf-8", "replace")
