"""Keys: which values of a record are compared, and how they become bytes."""

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
    """Fields whose values together make a key, or the whole content.

    fields: paths such as `user_id`, `data.session_id`, `@key`, `@header.NAME`.
    content: the key is the event less the ignored top-level fields.
    """

    fields: tuple[str, ...]
    content: bool = False

    @property
    def name(self) -> str:
        """What `dedup.matched` says: the fields joined by a comma, or `content`."""
        return "content" if self.content else ",".join(self.fields)


@dataclass(frozen=True, slots=True)
class Bytes:
    """A value compared as bytes: a record key or a header."""

    value: bytes


def look_up(
    path: str, event: dict[str, object] | None, key: bytes | None, headers: Headers
) -> object:
    """Value at a field path, or MISSING.

    event: the decoded JSON object.  A path through something that is not an
    object is missing; `null` is a value.  Of a repeated header the last counts;
    one without a value is missing, for it has no bytes to compare.
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


# Equal to itself and to no JSON value, which cannot be spelled so.
_NOTHING = Literal("missing")


def _json_of(value: object) -> object:
    """Text for bytes; a field is always bytes or always JSON, so the two never meet."""
    if isinstance(value, Bytes):
        return base64.b64encode(value.value).decode()
    return _NOTHING if value is MISSING else value


def hash_values(values: Sequence[object], index: int) -> bytes:
    """128-bit hash of a combination's values, 16 bytes.

    values: one decoded JSON value, `Bytes` or MISSING for each field.  index: of
    the combination; equal values of different combinations do not meet.
    """
    if len(values) == 1:
        value = values[0]
        if isinstance(value, str):
            return hash_bytes(value, string_seed(index))
        if isinstance(value, Bytes):
            return hash_bytes(value.value, string_seed(index))
    return hash_bytes(encode_canonical([_json_of(value) for value in values]), json_seed(index))


def content_of(event: dict[str, object], ignored: frozenset[str]) -> bytes:
    """Canonical JSON of an event less the ignored top-level fields."""
    if ignored.isdisjoint(event):
        return encode_canonical(event)
    return encode_canonical({name: value for name, value in event.items() if name not in ignored})
