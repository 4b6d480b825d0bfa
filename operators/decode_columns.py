"""The fast path of decoding: a whole column of records at once, in C where it can be."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from operators.batches import Bools, Decided, Floats, Hashes, Invalid, Records
from operators.canonical import encode_canonical, number_hook
from operators.events import RECORD_TIME, EventSpec
from operators.hashing import SHARD, hash_column, json_seed, rows_of, string_seed
from operators.keys import MISSING, RECORD_KEY, Bytes, Combination, hash_values
from operators.time_columns import parse_times
from operators.timestamps import event_time

NO_RECORD_KEY = ("key", "the record has no key (@key)")
NO_RECORD_TIME = ("time", "the record has no timestamp (@record)")


# msgspec takes no member name with one of these.
_UNNAMEABLE = re.compile(r'[\x00-\x1f"\\]')


class _Object(msgspec.Struct, gc=False):
    """Any JSON object; its members are skipped."""


def bad_time(path: str, value: object) -> tuple[str, str]:
    """Say why a value is no event time."""
    if isinstance(value, str):
        return "time", f"{path}: {value[:40]!r} is not an RFC 3339 date-time"
    return "time", f"{path}: not a finite number of epoch seconds nor an RFC 3339 date-time"


# What msgspec takes for a type: a class, a union, Any.
_Type: TypeAlias = object
_TIME: _Type = float | str
# Which rows: a slice of all of them, or their numbers.
_Rows: TypeAlias = "slice | npt.NDArray[np.intp]"


class _Tree:
    """Field paths of one struct and its nested structs, as msgspec wants them."""

    def __init__(self) -> None:
        self.leaves: dict[str, _Type] = {}
        self.branches: dict[str, _Tree] = {}
        self.accessors: dict[str, str] = {}
        self.paths: list[str] = []

    def add(self, path: str, kind: _Type) -> bool:
        """Add a path with the type of its value; False if it conflicts with another."""
        self.paths.append(path)
        name, _, rest = path.partition(".")
        if not rest:
            if name in self.branches or self.leaves.get(name, kind) is not kind:
                return False
            self.leaves[name] = kind
            return True
        if self.leaves.get(name) is _Object:
            del self.leaves[name]
        return name not in self.leaves and self.branches.setdefault(name, _Tree()).add(rest, kind)

    def build(self) -> type[msgspec.Struct]:
        """Make the struct type; members get names that Python allows."""
        names = [*self.leaves, *self.branches]
        python_names = {name: f"f{number}" for number, name in enumerate(names)}
        kinds = [*self.leaves.values(), *(branch.build() for branch in self.branches.values())]
        for name in self.leaves:
            self.accessors[name] = python_names[name]
        for name, branch in self.branches.items():
            for path, accessor in branch.accessors.items():
                self.accessors[f"{name}.{path}"] = f"{python_names[name]}.{accessor}"
        return msgspec.defstruct(
            "Fields",
            list(zip(python_names.values(), kinds, strict=True)),
            rename={python: name for name, python in python_names.items()},
            gc=False,
        )


def _tree_of(spec: EventSpec) -> _Tree | None:
    """Collect the fields that decide; None where only the whole event will do."""
    keys = (*spec.combinations, spec.shard)
    if any(key.content for key in keys) or spec.text_fields:
        return None
    if spec.types and spec.schema != "event":
        return None  # an optional field: read one by one
    tree = _Tree()
    if spec.schema == "event":
        for name in ("event_id", "user_id", "event_type"):
            tree.add(name, str)
        tree.add("timestamp", _TIME)
        tree.add("data", _Object)
    if spec.time != RECORD_TIME and not tree.add(spec.time, _TIME):
        return None
    for key in keys:
        paths = () if key.fields == (RECORD_KEY,) else key.fields
        for path in paths:
            if path.startswith("@"):
                return None
            if tree.leaves.get(path) is not str and not tree.add(path, Any):
                return None
    return tree


class ColumnReader:
    """Reads the deciding fields of records that are as they should be.

    Typed structs hold those fields only; `data` is skipped unless a path leads
    into it.  A value that does not fit raises in `decode`, and its record goes
    the other way (operators/decode_one.py).
    """

    def __init__(self, spec: EventSpec, tree: _Tree) -> None:
        """spec: how records are read.  tree: the fields, from `of`."""
        self._spec = spec
        self.decode: Callable[[Any], Any] = msgspec.json.Decoder(
            tree.build(), float_hook=number_hook
        ).decode
        self._getters = {path: attrgetter(name) for path, name in tree.accessors.items()}
        self._texts = {path for path, kind in tree.leaves.items() if kind is str}

    @classmethod
    def of(cls, spec: EventSpec) -> ColumnReader | None:
        """Return a reader, or None where these settings need whole events."""
        tree = _tree_of(spec)
        if tree is None or any(map(_UNNAMEABLE.search, tree.paths)):
            return None
        return cls(spec, tree)

    def fill(
        self,
        records: Records,
        structs: list[Any],
        good: Bools | None,
        decided: Decided,
    ) -> None:
        """Fill in times, hashes, shards and types of the rows that were read.

        structs: one for each record.  good: which of them count; None: all.
        """
        at: _Rows = slice(None)
        keys = records.keys if records.keys is not None else [None] * len(records)
        if good is not None:
            at = np.flatnonzero(good)
            flags = good.tolist()
            structs = list(compress(structs, flags))
            keys = list(compress(keys, flags))
        if not structs:
            return
        refused: Invalid = {}
        spec = self._spec
        for index, combination in enumerate(spec.combinations):
            decided.hashes[at, index] = self._hash(structs, keys, combination, index, refused)
        if decided.shards is not None:
            decided.shards[at] = self._hash(structs, keys, spec.shard, SHARD, refused)
        decided.times[at] = self._times(records, structs, at, refused)
        rows = np.arange(len(records))[at]
        if decided.types is not None:
            decided.types.put(at, map(self._getters["event_type"], structs), len(structs))
        for position, problem in refused.items():
            row = int(rows[position])
            decided.invalid[row] = problem
            decided.times[row] = np.nan

    def _hash(
        self,
        structs: list[Any],
        keys: Sequence[bytes | None],
        combination: Combination,
        index: int,
        refused: Invalid,
    ) -> Hashes:
        """Hash one combination of every struct; positions without it go to `refused`."""
        if combination.fields == (RECORD_KEY,):
            if None not in keys:
                return hash_column(keys, string_seed(index))  # type: ignore[arg-type]
            if index != SHARD:
                for position, key in enumerate(keys):
                    if key is None:
                        refused.setdefault(position, NO_RECORD_KEY)
            found = (MISSING if key is None else Bytes(key) for key in keys)
            return rows_of(hash_values((key,), index) for key in found)
        columns = [list(map(self._getters[path], structs)) for path in combination.fields]
        if len(columns) > 1:
            return hash_column(map(encode_canonical, zip(*columns, strict=True)), json_seed(index))
        column = columns[0]
        if combination.fields[0] in self._texts or set(map(type, column)) == {str}:
            return hash_column(column, string_seed(index))
        return rows_of(hash_values((value,), index) for value in column)

    def _times(self, records: Records, structs: list[Any], at: _Rows, refused: Invalid) -> Floats:
        if self._spec.time == RECORD_TIME:
            found = records.timestamps
            found = np.zeros(len(records), np.int64) if found is None else found
            stamps = found[at].astype(np.float64)
            for position in np.flatnonzero(stamps <= 0).tolist():
                refused.setdefault(position, NO_RECORD_TIME)
            times: Floats = stamps / 1000.0
            return times
        column = list(map(self._getters[self._spec.time], structs))
        kinds = set(map(type, column))
        if kinds == {float}:
            return np.array(column, np.float64)
        times = parse_times(column) if kinds == {str} else np.full(len(column), np.nan)
        for position in np.flatnonzero(np.isnan(times)).tolist():
            value = column[position]
            time = event_time(value)
            if time is None:
                refused.setdefault(position, bad_time(self._spec.time, value))
            else:
                times[position] = time
        return times
