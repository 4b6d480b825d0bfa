"""The careful path of decoding: one record at a time, with the reason if it is invalid.

It works for any format that can parse a value into an object.  Reasons are tested in the
order of docs/reference/verdicts.md (section Invalid); the first that fits is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from operators.batches import DecisionColumns, Records
from operators.columns.header_table import Headers
from operators.decode.compared_text import text_of
from operators.decode.events import EventSpec, explain, is_event
from operators.decode.reasons import NO_RECORD_TIME, bad_time, no_field
from operators.decode.timestamps import event_time
from operators.keys.canonical_json import NESTED_TOO_DEEPLY
from operators.keys.combination import MISSING, Combination, content_of, hash_values, look_up
from operators.keys.hashing import SHARD, hash_bytes, json_seed
from operators.keys.paths import RECORD_TIME


@dataclass(slots=True)
class Accepted:
    """A record that can be decided.

    hashes: one for each combination, 16 bytes.  shard: 16 bytes.  text: what near
    duplicates are compared by, None without near duplicates.
    """

    time: float
    hashes: list[bytes]
    shard: bytes
    type: str
    text: str | None


@dataclass(slots=True)
class Rejected:
    """A record that is `invalid`, with the reason and what is wrong in words."""

    reason: str
    message: str
    type: str = ""


Parse: TypeAlias = Callable[[bytes], dict[str, object] | Rejected]
"""Parses a value into an object of JSON values, as `decode_json` reads them."""


class _MissingKeyError(Exception):
    """A record lacks a field of a combination."""


class RecordReader:
    """Reads single records, with the last word on every record that the fast path refuses.

    A field of the shard may be missing (unlike a field of a combination): it then
    equals only another missing one.
    """

    def __init__(self, spec: EventSpec, parse: Parse) -> None:
        """spec: how records are read.  parse: how this format parses a value."""
        self._spec = spec
        self._parse = parse
        self._has_shard = spec.shard.content or bool(spec.shard.fields)
        self._shard_is_key = spec.combinations == (spec.shard,)

    def fill(self, records: Records, row: int, columns: DecisionColumns) -> None:
        """Read one record and fill in its row of the columns."""
        answer = self.read(records, row)
        if columns.types is not None:
            columns.types.numbers[row] = columns.types.names[answer.type]
        if not isinstance(answer, Accepted):
            columns.invalid[row] = (answer.reason, answer.message)
            return
        columns.times[row] = answer.time
        columns.hashes[row] = np.frombuffer(b"".join(answer.hashes), "<u8").reshape(-1, 2)
        if columns.shards is not None:
            columns.shards[row] = np.frombuffer(answer.shard, "<u8")
        if columns.texts is not None:
            columns.texts[row] = answer.text

    def read(self, records: Records, row: int) -> Accepted | Rejected:
        """Read one record."""
        try:
            return self._read(records, row)
        except RecursionError:
            # Parsing allows more depth than writing canonical JSON.
            return Rejected("json", NESTED_TOO_DEEPLY)

    def _read(self, records: Records, row: int) -> Accepted | Rejected:
        value = records.values[row]
        if value is None:
            return Rejected("tombstone", "the record has no value")
        event = self._parse(value)
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
            elif self._has_shard:
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
