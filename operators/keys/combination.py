"""Keys: the values of a record that are compared, and how they become bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from operators.columns.header_table import Headers
from operators.keys.canonical_json import Literal, encode_canonical
from operators.keys.hashing import hash_bytes, json_seed, string_seed

RECORD_KEY = "@key"
HEADER_PREFIX = "@header."
MISSING = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Combination:
    """The fields whose values together make a key, or the whole content.

    fields: paths such as `user_id`, `data.session_id`, `@key`, `@header.NAME`.
    content: the key is the event without the ignored top-level fields.
    """

    fields: tuple[str, ...]
    content: bool = False

    @property
    def name(self) -> str:
        """The value of `dedup.matched`: the fields joined by commas, or `content`."""
        return "content" if self.content else ",".join(self.fields)


@dataclass(frozen=True, slots=True)
class Bytes:
    """A value compared as bytes: a record key or a header."""

    value: bytes


def look_up(
    path: str, event: dict[str, object] | None, key: bytes | None, headers: Headers
) -> object:
    """Value at a field path, or MISSING.

    event: the decoded JSON object.  A path through a value that is not an object is
    missing; `null` is a value.  If a header is repeated, the last one counts; a header
    without a value is missing, because it has no bytes to compare.
    """
    if path == RECORD_KEY:
        return MISSING if key is None else Bytes(key)
    if path.startswith(HEADER_PREFIX):
        name = path.removeprefix(HEADER_PREFIX)
        values = [text for header, text in headers or () if header == name]
        return Bytes(values[-1]) if values and values[-1] is not None else MISSING
    value: object = event
    for member in path.split("."):
        if not isinstance(value, dict):
            return MISSING
        value = value.get(member, MISSING)
        if value is MISSING:
            return MISSING
    return value


# Equal to itself only: no JSON value is spelled like this.
_MISSING_JSON = Literal("missing")


def _json_of(value: object) -> object:
    """Bytes become text.  A field is always bytes or always JSON, so the two never compare."""
    if isinstance(value, Bytes):
        return base64.b64encode(value.value).decode()
    return _MISSING_JSON if value is MISSING else value


def hash_values(values: Sequence[object], index: int) -> bytes:
    """128-bit hash of a combination's values, 16 bytes.

    values: one decoded JSON value, `Bytes` or MISSING for each field.  index: of the
    combination; equal values of different combinations have different hashes.
    """
    if len(values) == 1:
        value = values[0]
        if isinstance(value, str):
            return hash_bytes(value, string_seed(index))
        if isinstance(value, Bytes):
            return hash_bytes(value.value, string_seed(index))
    return hash_bytes(encode_canonical([_json_of(value) for value in values]), json_seed(index))


def content_of(event: dict[str, object], ignored: frozenset[str]) -> bytes:
    """Canonical JSON of an event without the ignored top-level fields."""
    if ignored.isdisjoint(event):
        return encode_canonical(event)
    return encode_canonical({name: value for name, value in event.items() if name not in ignored})
