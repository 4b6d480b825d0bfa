"""From a record to what decides: its event time, its keys, its shard, its text; or why not."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.model.json_values import Json, NotJsonError, canonical, parse
from tests.model.records import Record, Settings
from tests.model.similarity import text_of
from tests.model.times import rfc3339


class Missing:
    """The type of MISSING."""


MISSING: Final = Missing()
Value: TypeAlias = "Json | bytes | Missing"


@dataclass(frozen=True)
class Event:
    """A record that is not invalid.

    keys: one a combination.  text: what similarity compares.
    """

    time: float
    keys: tuple[Hashable, ...]
    shard: Hashable
    text: str


def read(record: Record, settings: Settings, now: float) -> Event | str:  # noqa: PLR0911 (one a reason)
    """Return the event, or the reason why the record is invalid: the first that fits."""
    if record.value is None:
        return "tombstone"
    try:
        value = parse(record.value)
    except NotJsonError:
        return "json"
    if not isinstance(value, dict) or (settings.schema == "event" and not _has_five_fields(value)):
        return "schema"
    keys = _keys(record, value, settings)
    if keys is None:
        return "key"
    time = _time(record, value, settings)
    if time is None:
        return "time"
    if time - now > settings.max_future:
        return "future"
    return Event(time, keys, _shard(record, value, settings), _text(record, value, settings))


def _has_five_fields(event: dict[str, Json]) -> bool:
    return (
        isinstance(event.get("event_id"), str)
        and isinstance(event.get("user_id"), str)
        and isinstance(event.get("event_type"), str)
        # Any string will do here: that it is not RFC 3339 is `time`.
        and isinstance(event.get("timestamp"), int | float | str)
        and not isinstance(event.get("timestamp"), bool)
        and isinstance(event.get("data"), dict)
    )


def field(record: Record, event: dict[str, Json], path: str) -> Value:
    """Value of a field path, bytes for `@key` and `@header.NAME`; MISSING where there is none."""
    # Choice: a null record key, and a header that is null (the last, if repeated), are missing:
    # "null is a value" is said of JSON, these compare as bytes.
    if path == "@key":
        return MISSING if record.key is None else record.key
    if path.startswith("@header."):
        name = path.removeprefix("@header.")
        values = [value for header, value in record.headers or [] if header == name]
        return MISSING if not values or values[-1] is None else values[-1]
    # Choice: a path steps through objects only, never into arrays, and has no escape for a dot.
    value: Json = event
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def _comparable(value: Value) -> Hashable:
    if isinstance(value, Missing):
        return ("missing",)
    return ("bytes", value) if isinstance(value, bytes) else canonical(value)


def _keys(
    record: Record, event: dict[str, Json], settings: Settings
) -> tuple[Hashable, ...] | None:
    """Return the key of each combination, None if a field of any of them is missing."""
    keys: list[Hashable] = []
    for combination in settings.keys:
        if combination == "content":
            ignored = settings.content_ignore
            kept = {name: value for name, value in event.items() if name not in ignored}
            keys.append(canonical(kept))
            continue
        values = [field(record, event, path) for path in combination]
        if any(isinstance(value, Missing) for value in values):
            return None
        keys.append(tuple([_comparable(value) for value in values]))
    return tuple(keys)


def _time(record: Record, event: dict[str, Json], settings: Settings) -> float | None:
    """Event time in epoch seconds, None if there is none."""
    if settings.time == "@record":
        return None if record.timestamp_ms is None else record.timestamp_ms / 1000
    value = field(record, event, settings.time)
    try:
        if isinstance(value, str):
            return rfc3339(value)
        # Choice: with the open schema, a time of another JSON type (true, null, {}) is `time`.
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        seconds = float(value)
    except (ValueError, OverflowError):  # an integer above the largest double is not finite
        return None
    return seconds if math.isfinite(seconds) else None


def _shard(record: Record, event: dict[str, Json], settings: Settings) -> Hashable:
    # Choice: a missing shard field is not a reason to be invalid; it equals only a missing one.
    if settings.shard_by == "@key":
        return _comparable(field(record, event, "@key"))
    return tuple([_comparable(field(record, event, path)) for path in settings.shard_by or ()])


def _text(record: Record, event: dict[str, Json], settings: Settings) -> str:
    if settings.similarity is None:
        return ""
    found = [field(record, event, path) for path in settings.similarity_fields]
    return text_of([None if isinstance(value, Missing | bytes) else (value,) for value in found])
