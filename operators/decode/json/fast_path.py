"""The fast path of reading JSON: a column of records at once, in C where possible."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from operators.batches import DecisionColumns, Invalid, Records
from operators.columns.arrays import Bools, Floats, Hashes
from operators.columns.header_table import Headers
from operators.decode.compared_text import text_of
from operators.decode.events import EventSpec
from operators.decode.json.field_tree import EVENT_TYPE, FieldTree, tree_of
from operators.decode.reasons import NO_RECORD_TIME, bad_time, no_field
from operators.decode.timestamps import event_time, parse_times
from operators.keys.canonical_json import decode_plain, encode_canonical, number_hook
from operators.keys.combination import MISSING, RECORD_KEY, Combination, hash_values, look_up
from operators.keys.hashing import SHARD, hash_column, json_seed, rows_of, string_seed
from operators.keys.paths import RECORD_TIME

# A slice of all rows, or row numbers.
_Rows: TypeAlias = "slice | npt.NDArray[np.intp]"


@dataclass(slots=True)
class _Accepted:
    """The records that the fast path parsed.

    rows: of the batch.  structs: the fields that decide.  events: whole events, None if no
    setting needs them.
    """

    rows: _Rows
    structs: list[Any]
    events: list[Any] | None
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]

    @staticmethod
    def of(
        records: Records, structs: list[Any], events: list[Any] | None, accepted: Bools | None
    ) -> _Accepted:
        """Leave out the records that are not accepted."""
        nothing = [None] * len(records)
        keys = nothing if records.keys is None else records.keys
        headers = nothing if records.headers is None else records.headers
        if accepted is None:
            return _Accepted(slice(None), structs, events, keys, headers)
        flags = accepted.tolist()
        return _Accepted(
            np.flatnonzero(accepted),
            list(compress(structs, flags)),
            None if events is None else list(compress(events, flags)),
            list(compress(keys, flags)),
            list(compress(headers, flags)),
        )


class ColumnReader:
    """Reads the fields that decide from well-formed records.

    Typed structs hold only those fields; `data` is skipped unless a path leads into it.
    Whole events are parsed too if a setting compares them.  For a value that does not
    fit, `decode` or `decode_whole` raises, and its record goes to the careful path.
    """

    def __init__(self, spec: EventSpec, tree: FieldTree, event_paths: set[str]) -> None:
        """spec: how records are read.  tree, event_paths: from `tree_of`."""
        self._spec = spec
        self.decode: Callable[[Any], Any] = msgspec.json.Decoder(
            tree.build(), float_hook=number_hook
        ).decode
        content = any(key.content for key in (*spec.combinations, spec.shard))
        whole = content or bool(event_paths) or bool(spec.text_fields)
        self.decode_whole: Callable[[Any], Any] | None = decode_plain if whole else None
        self._getters = {path: attrgetter(name) for path, name in tree.accessors.items()}
        self._strings = tree.strings
        self._event_paths = event_paths

    @classmethod
    def of(cls, spec: EventSpec) -> ColumnReader | None:
        """Return a reader, or None if these settings need the careful path."""
        tree = tree_of(spec)
        return None if tree is None else cls(spec, *tree)

    def fill(
        self,
        records: Records,
        structs: list[Any],
        events: list[Any] | None,
        accepted: Bools | None,
        columns: DecisionColumns,
    ) -> None:
        """Fill in times, hashes, shards, types and texts of the accepted records.

        structs, events: one for each record, from `decode` and `decode_whole`; the events
        are modified.  accepted: which records to fill in; None: all.
        """
        parsed = _Accepted.of(records, structs, events, accepted)
        if not parsed.structs:
            return
        rows = parsed.rows
        invalid: Invalid = {}  # by position among the accepted
        if columns.texts is not None:
            columns.texts[rows] = self._texts(parsed)
        self._fill_hashes(parsed, columns, invalid)
        columns.times[rows] = self._times(records, parsed, invalid)
        if columns.types is not None:
            columns.types.put(rows, self._types(parsed), len(parsed.structs))
        numbers = np.arange(len(records))[rows]
        for position, problem in invalid.items():
            row = int(numbers[position])
            columns.invalid[row] = problem
            columns.times[row] = np.nan
            if columns.texts is not None:
                columns.texts[row] = None

    def _fill_hashes(self, parsed: _Accepted, columns: DecisionColumns, invalid: Invalid) -> None:
        rows, spec = parsed.rows, self._spec
        for index, combination in enumerate(spec.combinations):
            if not combination.content:
                columns.hashes[rows, index] = self._hash(parsed, combination, index, invalid)
        if columns.shards is not None:
            columns.shards[rows] = self._hash(parsed, spec.shard, SHARD, invalid)
        # Last, since it takes the ignored fields out of the events.
        for index, combination in enumerate(spec.combinations):
            if combination.content:
                columns.hashes[rows, index] = self._hash_contents(parsed, index)

    def _texts(self, parsed: _Accepted) -> list[str]:
        paths = self._spec.text_fields
        return [
            text_of([look_up(path, event, None, None) for path in paths])
            for event in parsed.events or ()
        ]

    def _types(self, parsed: _Accepted) -> Iterable[str]:
        types = list(map(self._getters[EVENT_TYPE], parsed.structs))
        if EVENT_TYPE in self._strings:
            return types
        return [type_ if isinstance(type_, str) else "" for type_ in types]

    def _hash_contents(self, parsed: _Accepted, index: int) -> Hashes:
        """Hash whole events, after taking the ignored fields out of them."""
        events = parsed.events or []
        for name in self._spec.content_ignore:
            deque(map(dict.pop, events, repeat(name), repeat(None)), maxlen=0)
        return hash_column(map(encode_canonical, events), json_seed(index))

    def _hash(
        self, parsed: _Accepted, combination: Combination, index: int, invalid: Invalid
    ) -> Hashes:
        """Hash one combination of every record; records that lack a field become invalid."""
        fields = combination.fields
        if fields == (RECORD_KEY,) and None not in parsed.keys:
            return hash_column(parsed.keys, string_seed(index))  # type: ignore[arg-type]
        if any(path.startswith("@") or path in self._event_paths for path in fields):
            return self._hash_each(parsed, fields, index, invalid)
        columns = [self._column(path, parsed) for path in fields]
        if len(columns) > 1:
            return hash_column(map(encode_canonical, zip(*columns, strict=True)), json_seed(index))
        column = columns[0]
        if fields[0] in self._strings or set(map(type, column)) == {str}:
            return hash_column(column, string_seed(index))
        return rows_of(hash_values((value,), index) for value in column)

    def _hash_each(
        self, parsed: _Accepted, fields: Sequence[str], index: int, invalid: Invalid
    ) -> Hashes:
        """Hash one combination record by record, where a field may be missing."""
        hashes = []
        columns = [self._column(path, parsed) for path in fields]
        for position, values in enumerate(zip(*columns, strict=True)):
            if index != SHARD:
                for path, value in zip(fields, values, strict=True):
                    if value is MISSING:
                        invalid.setdefault(position, no_field(path))
            hashes.append(hash_values(values, index))
        return rows_of(hashes)

    def _column(self, path: str, parsed: _Accepted) -> list[Any]:
        """Return each record's value at a path; MISSING only for headers, keys, whole events."""
        if path.startswith("@"):
            return [
                look_up(path, None, key, headers)
                for key, headers in zip(parsed.keys, parsed.headers, strict=True)
            ]
        if path in self._event_paths:
            return [look_up(path, event, None, None) for event in parsed.events or ()]
        return list(map(self._getters[path], parsed.structs))

    def _times(self, records: Records, parsed: _Accepted, invalid: Invalid) -> Floats:
        if self._spec.time == RECORD_TIME:
            stamped = records.timestamps
            stamped = np.zeros(len(records), np.int64) if stamped is None else stamped
            stamps = stamped[parsed.rows].astype(np.float64)
            for position in np.flatnonzero(stamps <= 0).tolist():
                invalid.setdefault(position, NO_RECORD_TIME)
            times: Floats = stamps / 1000.0
            return times
        column = list(map(self._getters[self._spec.time], parsed.structs))
        with suppress(struct.error):  # raised if one of them is a text
            packed = struct.pack(f"{len(column)}d", *column)
            return np.frombuffer(packed, np.float64) + 0.0  # -0.0 is 0.0
        all_texts = set(map(type, column)) == {str}
        times = parse_times(column) if all_texts else np.full(len(column), np.nan)
        for position in np.flatnonzero(np.isnan(times)).tolist():
            value = column[position]
            time = event_time(value)
            if time is None:
                invalid.setdefault(position, bad_time(self._spec.time, value))
            else:
                times[position] = time
        return times
