"""The fast path of decoding: a whole column of records at once, in C where it can be."""

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

# Which rows: a slice of all of them, or their numbers.
_Rows: TypeAlias = "slice | npt.NDArray[np.intp]"


@dataclass(slots=True)
class _Found:
    """What was read of the rows that count.

    at: which of the records they are.  structs: the fields that decide.  events: all of
    each record, None where nothing needs it.
    """

    at: _Rows
    structs: list[Any]
    events: list[Any] | None
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]

    @staticmethod
    def of(
        records: Records, structs: list[Any], events: list[Any] | None, good: Bools | None
    ) -> _Found:
        """Leave out the rows that do not count."""
        nothing = [None] * len(records)
        keys = nothing if records.keys is None else records.keys
        headers = nothing if records.headers is None else records.headers
        if good is None:
            return _Found(slice(None), structs, events, keys, headers)
        flags = good.tolist()
        return _Found(
            np.flatnonzero(good),
            list(compress(structs, flags)),
            None if events is None else list(compress(events, flags)),
            list(compress(keys, flags)),
            list(compress(headers, flags)),
        )


class ColumnReader:
    """Reads the deciding fields of records that are as they should be.

    Typed structs hold those fields only; `data` is skipped unless a path leads
    into it.  Where whole events are compared, they are read besides.  A value that
    does not fit raises in `decode` or `decode_whole`, and its record goes the other
    way (operators/decode/careful_path.py).
    """

    def __init__(self, spec: EventSpec, tree: FieldTree, others: set[str]) -> None:
        """spec: how records are read.  tree, others: the fields, from `tree_of`."""
        self._spec = spec
        self.decode: Callable[[Any], Any] = msgspec.json.Decoder(
            tree.build(), float_hook=number_hook
        ).decode
        content = any(key.content for key in (*spec.combinations, spec.shard))
        whole = content or bool(others) or bool(spec.text_fields)
        self.decode_whole: Callable[[Any], Any] | None = decode_plain if whole else None
        self._getters = {path: attrgetter(name) for path, name in tree.accessors.items()}
        self._texts = tree.texts
        self._others = others

    @classmethod
    def of(cls, spec: EventSpec) -> ColumnReader | None:
        """Return a reader, or None where these settings need records read one by one."""
        found = tree_of(spec)
        return None if found is None else cls(spec, *found)

    def fill(
        self,
        records: Records,
        structs: list[Any],
        events: list[Any] | None,
        good: Bools | None,
        decided: DecisionColumns,
    ) -> None:
        """Fill in times, hashes, shards, types and texts of the rows that were read.

        structs, events: one for each record, by `decode` and `decode_whole`; the events are
        used up.  good: which of them count; None: all.
        """
        found = _Found.of(records, structs, events, good)
        if not found.structs:
            return
        at = found.at
        refused: Invalid = {}
        if decided.texts is not None:
            decided.texts[at] = self._texts_of(found)
        self._fill_hashes(found, decided, refused)
        decided.times[at] = self._times(records, found, refused)
        if decided.types is not None:
            decided.types.put(at, self._types(found), len(found.structs))
        rows = np.arange(len(records))[at]
        for position, problem in refused.items():
            row = int(rows[position])
            decided.invalid[row] = problem
            decided.times[row] = np.nan
            if decided.texts is not None:
                decided.texts[row] = None

    def _fill_hashes(self, found: _Found, decided: DecisionColumns, refused: Invalid) -> None:
        at, spec = found.at, self._spec
        for index, combination in enumerate(spec.combinations):
            if not combination.content:
                decided.hashes[at, index] = self._hash(found, combination, index, refused)
        if decided.shards is not None:
            decided.shards[at] = self._hash(found, spec.shard, SHARD, refused)
        for index, combination in enumerate(spec.combinations):
            if combination.content:
                decided.hashes[at, index] = self._hash_contents(found, index)

    def _texts_of(self, found: _Found) -> list[str]:
        paths = self._spec.text_fields
        return [
            text_of([look_up(path, event, None, None) for path in paths])
            for event in found.events or ()
        ]

    def _types(self, found: _Found) -> Iterable[str]:
        types = list(map(self._getters[EVENT_TYPE], found.structs))
        if EVENT_TYPE in self._texts:
            return types
        return [type_ if isinstance(type_, str) else "" for type_ in types]

    def _hash_contents(self, found: _Found, index: int) -> Hashes:
        """Hash whole events; the fields that are left out are gone from them then."""
        events = found.events or []
        for name in self._spec.content_ignore:
            deque(map(dict.pop, events, repeat(name), repeat(None)), maxlen=0)
        return hash_column(map(encode_canonical, events), json_seed(index))

    def _hash(
        self, found: _Found, combination: Combination, index: int, refused: Invalid
    ) -> Hashes:
        """Hash one combination of every row; positions without it go to `refused`."""
        fields = combination.fields
        if fields == (RECORD_KEY,) and None not in found.keys:
            return hash_column(found.keys, string_seed(index))  # type: ignore[arg-type]
        if any(path.startswith("@") or path in self._others for path in fields):
            return self._hash_each(found, fields, index, refused)
        columns = [self._column(path, found) for path in fields]
        if len(columns) > 1:
            return hash_column(map(encode_canonical, zip(*columns, strict=True)), json_seed(index))
        column = columns[0]
        if fields[0] in self._texts or set(map(type, column)) == {str}:
            return hash_column(column, string_seed(index))
        return rows_of(hash_values((value,), index) for value in column)

    def _hash_each(
        self, found: _Found, fields: Sequence[str], index: int, refused: Invalid
    ) -> Hashes:
        """The same row by row, where a value may be missing."""
        hashes = []
        columns = [self._column(path, found) for path in fields]
        for position, values in enumerate(zip(*columns, strict=True)):
            if index != SHARD:
                for path, value in zip(fields, values, strict=True):
                    if value is MISSING:
                        refused.setdefault(position, no_field(path))
            hashes.append(hash_values(values, index))
        return rows_of(hashes)

    def _column(self, path: str, found: _Found) -> list[Any]:
        """Return the value of each row at a path, MISSING where there may be none."""
        if path.startswith("@"):
            return [
                look_up(path, None, key, headers)
                for key, headers in zip(found.keys, found.headers, strict=True)
            ]
        if path in self._others:
            return [look_up(path, event, None, None) for event in found.events or ()]
        return list(map(self._getters[path], found.structs))

    def _times(self, records: Records, found: _Found, refused: Invalid) -> Floats:
        if self._spec.time == RECORD_TIME:
            stamped = records.timestamps
            stamped = np.zeros(len(records), np.int64) if stamped is None else stamped
            stamps = stamped[found.at].astype(np.float64)
            for position in np.flatnonzero(stamps <= 0).tolist():
                refused.setdefault(position, NO_RECORD_TIME)
            times: Floats = stamps / 1000.0
            return times
        column = list(map(self._getters[self._spec.time], found.structs))
        with suppress(struct.error):  # a text among them
            packed = struct.pack(f"{len(column)}d", *column)
            return np.frombuffer(packed, np.float64) + 0.0  # -0.0 is 0.0
        texts = set(map(type, column)) == {str}
        times = parse_times(column) if texts else np.full(len(column), np.nan)
        for position in np.flatnonzero(np.isnan(times)).tolist():
            value = column[position]
            time = event_time(value)
            if time is None:
                refused.setdefault(position, bad_time(self._spec.time, value))
            else:
                times[position] = time
        return times
