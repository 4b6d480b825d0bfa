"""The fields of an event that are read into a struct: those that decide; others are skipped."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec

from operators.decode.events import EventSpec
from operators.keys.paths import RECORD_TIME

EVENT_TYPE = "event_type"

# msgspec accepts no member name with one of these characters.
_UNNAMEABLE = re.compile(r'[\x00-\x1f"\\]')


class _Object(msgspec.Struct, gc=False):
    """Any JSON object; its members are skipped."""


# A type for msgspec: a class, a union, Any.
_Type: TypeAlias = object
_TIME: _Type = float | str


class FieldTree:
    """Field paths of one struct and its nested structs, for msgspec.

    leaves: member → type of its value.  branches: member → fields of the nested object.
    accessors: path → attribute path, after `build`.  optional: a member that may be missing;
    it is None then.
    """

    def __init__(self) -> None:
        self.leaves: dict[str, _Type] = {}
        self.branches: dict[str, FieldTree] = {}
        self.accessors: dict[str, str] = {}
        self.optional: str | None = None

    @property
    def strings(self) -> set[str]:
        """Paths whose values are always strings; no nested paths."""
        return {path for path, kind in self.leaves.items() if kind is str}

    def add(self, path: str, kind: _Type) -> bool:
        """Add a path with the type of its value; return False if it conflicts with other paths."""
        if _UNNAMEABLE.search(path):
            return False
        name, _, rest = path.partition(".")
        if not rest:
            if name in self.branches or self.leaves.get(name, kind) is not kind:
                return False
            self.leaves[name] = kind
            return True
        if self.leaves.get(name) is _Object:
            del self.leaves[name]
        if name in self.leaves:
            return False
        return self.branches.setdefault(name, FieldTree()).add(rest, kind)

    def build(self) -> type[msgspec.Struct]:
        """Make the struct type; its attributes have names that Python allows."""
        fields: list[Any] = []
        rename: dict[str, str] = {}
        for name, kind in self.leaves.items():
            self.accessors[name] = python_name = f"f{len(fields)}"
            rename[python_name] = name
            fields.append((python_name, kind))
        for name, branch in self.branches.items():
            python_name = f"f{len(fields)}"
            rename[python_name] = name
            fields.append((python_name, branch.build()))
            for path, accessor in branch.accessors.items():
                self.accessors[f"{name}.{path}"] = f"{python_name}.{accessor}"
        if self.optional is not None:
            self.accessors[self.optional] = python_name = f"f{len(fields)}"
            rename[python_name] = self.optional
            fields.append((python_name, Any, None))
        return msgspec.defstruct("Fields", fields, rename=rename, gc=False)


def tree_of(spec: EventSpec) -> tuple[FieldTree, set[str]] | None:
    """Return the fields that decide, and the paths of keys that need the whole event.

    None if the event time cannot be read into a struct.
    """
    tree = FieldTree()
    if spec.schema == "event":
        for name in ("event_id", "user_id", EVENT_TYPE):
            tree.add(name, str)
        tree.add("timestamp", _TIME)
        tree.add("data", _Object)
    if spec.time != RECORD_TIME and not tree.add(spec.time, _TIME):
        return None
    event_paths = set()
    for key in (*spec.combinations, spec.shard):
        for path in key.fields:
            if path.startswith("@") or tree.leaves.get(path) is str:
                continue
            if not tree.add(path, Any):
                event_paths.add(path)
    if spec.types and EVENT_TYPE not in tree.leaves:
        if EVENT_TYPE in tree.branches:
            return None
        tree.optional = EVENT_TYPE
    return tree, event_paths
