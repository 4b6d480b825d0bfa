"""Reads JSON objects on two paths that agree.

The fast path reads well-formed records, a column at a time.  Every record that it refuses
(bad input, repeated members, odd types) goes to the careful path, which has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from operators.batches import DecisionColumns, Records
from operators.columns.byte_column import ByteColumn
from operators.decode.careful_path import RecordReader, Rejected
from operators.decode.events import EventSpec
from operators.decode.json.fast_path import ColumnReader
from operators.keys.canonical_json import decode_json

_UNREADABLE = (ValueError, TypeError, RecursionError, msgspec.MsgspecError)


class JsonReader:
    """Fills in the columns that decide from records whose values are JSON objects."""

    def __init__(self, spec: EventSpec) -> None:
        """spec: how records are read."""
        self._careful = RecordReader(spec, parse_object)
        self._fast = ColumnReader.of(spec)

    def __call__(self, records: Records, columns: DecisionColumns) -> None:
        """Fill in times, hashes, shards, types and texts, and which records are invalid."""
        refused: Sequence[int] = range(len(records))
        if self._fast is not None:
            refused = self._read_columns(self._fast, records, columns)
        for row in refused:
            self._careful.fill(records, row, columns)

    def _read_columns(
        self, fast: ColumnReader, records: Records, columns: DecisionColumns
    ) -> Sequence[int]:
        """Read records on the fast path; return the rows that it refuses."""
        values = list(records.values)
        structs, failed = decode_column(fast.decode, values)
        events = None
        if fast.decode_whole is not None:
            events, also_failed = decode_column(fast.decode_whole, values)
            failed += also_failed
        refused = sorted({*failed, *not_utf8(ByteColumn.of(records.values))})
        accepted = None
        if refused:
            accepted = np.ones(len(records), np.bool_)
            accepted[refused] = False
        try:
            fast.fill(records, structs, events, accepted, columns)
        except RecursionError:
            # A key is nested deeply enough that it can be parsed, but not hashed.
            columns.invalid.clear()
            columns.times.fill(np.nan)
            if columns.texts is not None:
                columns.texts.fill(None)
            return range(len(records))
        return refused


def parse_object(value: bytes) -> dict[str, object] | Rejected:
    """Parse one JSON object."""
    try:
        value.decode()
        event = decode_json(value)
    except ValueError as error:
        return Rejected("json", f"not JSON: {error}")
    if not isinstance(event, dict):
        return Rejected("schema", "the value is not a JSON object")
    return event


def decode_column(
    decode: Callable[[Any], Any], values: Sequence[bytes | None]
) -> tuple[list[Any], list[int]]:
    """Decode every value; return None for those that fail, and their rows.

    `extend` runs in C and keeps what it got before an error; the same iterator then
    continues after it.
    """
    decoded: list[Any] = []
    failed: list[int] = []
    rest = map(decode, values)
    while True:
        try:
            decoded.extend(rest)
        except _UNREADABLE:
            failed.append(len(decoded))
            decoded.append(None)
        else:
            return decoded, failed


def not_utf8(values: ByteColumn) -> list[int]:
    """Rows whose bytes are not UTF-8: msgspec does not check strings that it skips."""
    if values.is_ascii():
        return []
    rows = []
    for row, value in enumerate(values):
        if value is not None and not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                rows.append(row)
    return rows
