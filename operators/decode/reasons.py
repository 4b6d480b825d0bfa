"""Reasons for invalid records, in words."""

from __future__ import annotations

from operators.keys.combination import RECORD_KEY

REASONS = {
    "tombstone": "the record has no value",
    "json": "the value is not JSON in UTF-8",
    "schema": "the value is not an object; with `DEDUP_SCHEMA=event`: one of the five fields is "
    "missing or has the wrong JSON type",
    "key": "a field of a combination is missing",
    "time": "the event time is missing, not finite, or a string that is not RFC 3339",
    "future": "the event time is more than `DEDUP_MAX_FUTURE_SECONDS` ahead of the wall clock",
}
"""Every reason and its meaning, in the order in which they are tried."""

NO_RECORD_TIME = ("time", "the record has no timestamp (@record)")


def no_field(path: str) -> tuple[str, str]:
    """Name the field of a key that is missing."""
    if path == RECORD_KEY:
        return "key", "the record has no key (@key)"
    return "key", f"{path}: field required by keys"


def bad_time(path: str, value: object) -> tuple[str, str]:
    """Say why a value is not an event time."""
    if isinstance(value, str):
        return "time", f"{path}: {value[:40]!r} is not an RFC 3339 date-time"
    return "time", f"{path}: not a finite number of epoch seconds nor an RFC 3339 date-time"
