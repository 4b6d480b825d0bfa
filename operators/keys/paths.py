"""Parses the user's field paths: which fields make a key, and which choose the lane.

Field paths are `a`, `data.b.c`, `@key` (the record key) and `@header.NAME`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from operators.keys.combination import HEADER_PREFIX, RECORD_KEY, Combination

CONTENT = "content"
RECORD_TIME = "@record"

_T = TypeVar("_T", bound=Hashable)


class PathsError(ValueError):
    """Not a field path, or not a list of field paths; the text says what to write instead."""


class NoCommonFieldError(PathsError):
    """Several key combinations share no field, and the user named no shard."""


def needs_kafka(path: str) -> bool:
    """Whether a path names a part that Kafka records have and JSON lines lack."""
    return path.startswith("@")


def parse_event_path(path: object) -> str:
    """Check the path of a field of the event (`a`, `data.b.c`) and return it."""
    if not isinstance(path, str):
        msg = f"has {path!r} where a field path in quotes belongs"
        raise PathsError(msg)
    if path.startswith("@"):
        msg = (
            f"has {path!r}, which is not a field of the event: write a path like user_id or "
            "data.session_id (a field whose name begins with @ cannot be named)"
        )
        raise PathsError(msg)
    if not all(path.split(".")):
        msg = (
            f"has {path!r}, a path with an empty part: write names with one dot between them, "
            "as in data.session_id"
        )
        raise PathsError(msg)
    try:
        path.encode()
    except UnicodeEncodeError:
        msg = f"has {path!r}, which is not Unicode text: correct the name"
        raise PathsError(msg) from None
    return path


def parse_path(path: object) -> str:
    """Check a path that may also be `@key` or `@header.NAME` and return it."""
    if not isinstance(path, str) or not path.startswith("@"):
        return parse_event_path(path)
    # A header's name may contain dots, so only its presence is checked.
    if path == RECORD_KEY or (path.startswith(HEADER_PREFIX) and path != HEADER_PREFIX):
        return path
    msg = f"has {path!r}, but of names that begin with @ only @key and @header.NAME can stand here"
    raise PathsError(msg)


def parse_time(path: object) -> str:
    """Check the path of the event time: a field of the event, or `@record`."""
    if path == RECORD_TIME:
        return RECORD_TIME
    try:
        return parse_event_path(path)
    except PathsError as error:
        msg = f"{error}; {RECORD_TIME} is the record's own timestamp"
        raise PathsError(msg) from None


def parse_paths(value: object) -> tuple[str, ...]:
    """Check a list of paths without repetitions; it may be empty."""
    if not isinstance(value, list | tuple):
        msg = 'must be a list of field paths, as in ["user_id"]'
        raise PathsError(msg)
    paths = tuple(parse_path(path) for path in value)
    for path in _repeated(paths):
        msg = f"names {path!r} twice in one list: name it once"
        raise PathsError(msg)
    return paths


def parse_keys(value: object) -> tuple[Combination, ...]:
    """Turn a list of key combinations, each a list of paths or `content`, into Combinations."""
    if not isinstance(value, list | tuple) or not value:
        msg = (
            "must be a list of key combinations, each a list of field paths or the word "
            '"content", as in [["event_id"]]'
        )
        raise PathsError(msg)
    combinations = tuple(_parse_combination(item) for item in value)
    # The order of fields does not matter: ["a","b"] and ["b","a"] match the same records.
    for fields, _ in _repeated((tuple(sorted(c.fields)), c.content) for c in combinations):
        msg = f"has the combination {','.join(fields) or CONTENT!r} twice: leave one out"
        raise PathsError(msg)
    return combinations


def resolve_shard(
    keys: tuple[Combination, ...], content_ignore: Iterable[str], shard_by: tuple[str, ...] | None
) -> Combination:
    """Return the fields whose values choose the lane of a record.

    keys: the combinations, at least one.  content_ignore: top-level fields that
    `content` leaves out.  shard_by: paths that the user named, None for the default.
    Returns a combination with fields or the content; with neither, everything is one shard.
    Raises NoCommonFieldError if the combinations share no field.
    """
    if shard_by is not None:
        return Combination(shard_by)
    if all(key.content for key in keys):
        return Combination((), content=True)
    ignored = frozenset(content_ignore)
    first = next(key for key in keys if not key.content)
    common = tuple(
        path for path in first.fields if all(_shares(key, path, ignored) for key in keys)
    )
    if not common:
        msg = "the key combinations share no field"
        raise NoCommonFieldError(msg)
    return Combination(common)


def _shares(key: Combination, path: str, ignored: frozenset[str]) -> bool:
    """Whether records with the same key have the same value at a path."""
    if key.content:
        return not needs_kafka(path) and path.split(".", 1)[0] not in ignored
    return path in key.fields


def _parse_combination(item: object) -> Combination:
    if isinstance(item, Combination):
        return item
    if item == CONTENT:
        return Combination((), content=True)
    if isinstance(item, str):
        msg = f'has {item!r} where a combination belongs: write [["{item}"]]'
        raise PathsError(msg)
    if not isinstance(item, list | tuple):
        msg = f'has {item!r} where a list of field paths or "content" belongs'
        raise PathsError(msg)
    if not item:
        msg = "has an empty combination: name at least one field in it"
        raise PathsError(msg)
    return Combination(parse_paths(item))


def _repeated(items: Iterable[_T]) -> list[_T]:
    """Items that occur again, once for each repetition."""
    seen: set[_T] = set()
    repeated = []
    for item in items:
        if item in seen:
            repeated.append(item)
        seen.add(item)
    return repeated
