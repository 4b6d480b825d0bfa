"""The careful path of decoding: one record, with the reason if it is invalid.

The reasons are tried in the order of docs/reference/verdicts.md (section Invalid); the first that
fits is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.batches import Records
from operators.columns.header_table import Headers
from operators.decode.compared_text import text_of
from operators.decode.events import EventSpec, explain, is_event
from operators.decode.reasons import NO_RECORD_TIME, bad_time, no_field
from operators.decode.timestamps import event_time
from operators.keys.canonical_json import NESTED_TOO_DEEPLY, decode_json
from operators.keys.combination import MISSING, Combination, content_of, hash_values, look_up
from operators.keys.hashing import SHARD, hash_bytes, json_seed
from operators.keys.paths import RECORD_TIME


@dataclass(slots=True)
class Accepted:
    """A record that can be judged.

    hashes: one for each combination, 16 bytes.  shard: 16 bytes.  text: what near
    duplicates are compared by, None where not asked for.
    """

    time: float
    hashes: list[bytes]
    shard: bytes
    type: str
    text: str | None


@dataclass(slots=True)
class Rejected:
    """A record that is `invalid`, why, and what is wrong in words."""

    reason: str
    message: str
    type: str = ""


class _MissingKeyError(Exception):
    """A field of a combination is not there."""


class RecordDecoder:
    """Decodes single records; has the last word on whatever the fast path leaves.

    A field of the shard may be missing (unlike one of a combination): it then
    equals only another that is missing.
    """

    def __init__(self, spec: EventSpec) -> None:
        """spec: how records are read."""
        self._spec = spec
        self._shard_wanted = spec.shard.content or bool(spec.shard.fields)
        self._shard_is_key = spec.combinations == (spec.shard,)

    def __call__(self, records: Records, row: int) -> Accepted | Rejected:
        """Decode one row of a batch."""
        try:
            return self._decode(records, row)
        except RecursionError:
            # What could just be read can be too deep to be written in canonical form.
            return Rejected("json", NESTED_TOO_DEEPLY)

    def _decode(self, records: Records, row: int) -> Accepted | Rejected:
        event = self._read(records.values[row])
        if isinstance(event, Rejected):
            return event
        type_ = event.get("event_type")
        event_type = type_ if isinstance(type_, str) else ""
        if self._spec.schema == "event" and not is_event(event):
            return Rejected("schema", explain(event), event_type)
        key = None if records.keys is None else records.keys[row]
        headers = None if records.headers is None else records.headers[row]
        try:
            hashes = [
                self._hash(combination, index, event, key, headers)
                for index, combination in enumerate(self._spec.combinations)
            ]
            if self._shard_is_key:
                shard = hashes[0]
            elif self._shard_wanted:
                shard = self._hash(self._spec.shard, SHARD, event, key, headers, optional=True)
            else:
                shard = bytes(16)
        except _MissingKeyError as missing:
            return Rejected("key", str(missing), event_type)
        time = self._time(records, row, event)
        if isinstance(time, Rejected):
            time.type = event_type
            return time
        text = self._text(event) if self._spec.text_fields else None
        return Accepted(time, hashes, shard, event_type, text)

    @staticmethod
    def _read(value: bytes | None) -> dict[str, object] | Rejected:
        if value is None:
            return Rejected("tombstone", "the record has no value")
        try:
            value.decode()
            event = decode_json(value)
        except ValueError as error:
            return Rejected("json", f"not JSON: {error}")
        if not isinstance(event, dict):
            return Rejected("schema", "the value is not a JSON object")
        return event

    def _hash(  # noqa: PLR0913 - the parts of a record
        self,
        combination: Combination,
        index: int,
        event: dict[str, object],
        key: bytes | None,
        headers: Headers,
        *,
        optional: bool = False,
    ) -> bytes:
        if combination.content:
            return hash_bytes(content_of(event, self._spec.content_ignore), json_seed(index))
        values = []
        for path in combination.fields:
            value = look_up(path, event, key, headers)
            if value is MISSING and not optional:
                raise _MissingKeyError(no_field(path)[1])
            values.append(value)
        return hash_values(values, index)

    def _time(self, records: Records, row: int, event: dict[str, object]) -> float | Rejected:
        path = self._spec.time
        if path == RECORD_TIME:
            stamp = 0 if records.timestamps is None else int(records.timestamps[row])
            return stamp / 1000.0 if stamp > 0 else Rejected(*NO_RECORD_TIME)
        value = look_up(path, event, None, None)
        if value is MISSING:
            return Rejected("time", f"{path}: field required as event time")
        time = event_time(value)
        return Rejected(*bad_time(path, value)) if time is None else time

    def _text(self, event: dict[str, object]) -> str:
        return text_of([look_up(path, event, None, None) for path in self._spec.text_fields])
