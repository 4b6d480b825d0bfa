"""Field paths and key combinations as users write them."""

from typing import Any

import pytest

from operators.keys.combination import Combination
from operators.keys.paths import (
    NoCommonFieldError,
    PathsError,
    needs_kafka,
    parse_event_path,
    parse_keys,
    parse_path,
    parse_paths,
    parse_time,
    resolve_shard,
)

CONTENT = Combination((), content=True)


@pytest.mark.parametrize("path", ["a", "data.b.c", "é", "a b.0"])
def test_a_field_of_the_event(path: str) -> None:
    assert parse_event_path(path) == parse_path(path) == parse_time(path) == path
    assert not needs_kafka(path)


@pytest.mark.parametrize("path", ["@key", "@header.h", "@header.a.b", "@header..", "@header.@key"])
def test_a_part_of_the_record(path: str) -> None:
    assert parse_path(path) == path
    assert needs_kafka(path)
    with pytest.raises(PathsError, match="not a field of the event"):
        parse_event_path(path)


@pytest.mark.parametrize(
    "path, problem",
    [
        (1, "where a field path in quotes belongs"),
        ("", "a path with an empty part"),
        ("a..b", "a path with an empty part"),
        (".a", "a path with an empty part"),
        ("\ud800", "not Unicode text"),
        ("@header.", "only @key and @header.NAME"),
        ("@value", "only @key and @header.NAME"),
    ],
)
def test_no_path(path: object, problem: str) -> None:
    with pytest.raises(PathsError, match=problem):
        parse_path(path)


def test_the_event_time_may_be_that_of_the_record() -> None:
    assert parse_time("@record") == "@record"
    with pytest.raises(PathsError, match="@record is the record's own timestamp"):
        parse_time("@key")


def test_a_list_of_paths() -> None:
    assert parse_paths(["a", "@key"]) == ("a", "@key")
    assert parse_paths([]) == ()
    with pytest.raises(PathsError, match="names 'a' twice"):
        parse_paths(["a", "b", "a"])
    with pytest.raises(PathsError, match="must be a list of field paths"):
        parse_paths("a")


def test_combinations() -> None:
    keys = parse_keys([["a", "b"], "content", ("c",), Combination(("d",))])
    fields = [(key.fields, key.content) for key in keys]
    assert fields == [(("a", "b"), False), ((), True), (("c",), False), (("d",), False)]


@pytest.mark.parametrize(
    "keys, problem",
    [
        ([], "must be a list of key combinations"),
        ("content", "must be a list of key combinations"),
        (["a"], r'write \[\["a"\]\]'),
        ([[]], "an empty combination"),
        ([7], "where a list of field paths"),
        ([["a", "b"], ["b", "a"]], "the combination 'a,b' twice"),
        (["content", "content"], "the combination 'content' twice"),
    ],
)
def test_no_combinations(keys: Any, problem: str) -> None:  # noqa: ANN401
    with pytest.raises(PathsError, match=problem):
        parse_keys(keys)


@pytest.mark.parametrize(
    "keys, shard_by, shard",
    [
        ([["a", "b"], ["b", "c"]], None, Combination(("b",))),
        ([["a", "b"], "content"], None, Combination(("a", "b"))),
        ([["a", "id"], "content"], None, Combination(("a",))),  # the content ignores id
        ([["@key", "a"], "content"], None, Combination(("a",))),
        (["content"], None, CONTENT),
        ([["a"], ["b"]], ("c",), Combination(("c",))),
        ([["a"]], (), Combination(())),
    ],
)
def test_the_shard(keys: list[Any], shard_by: tuple[str, ...] | None, shard: Combination) -> None:
    assert resolve_shard(parse_keys(keys), ["id"], shard_by) == shard


@pytest.mark.parametrize("keys", [[["a"], ["b"]], [["id"], "content"], [["@key"], "content"]])
def test_no_common_field(keys: list[Any]) -> None:
    with pytest.raises(NoCommonFieldError):
        resolve_shard(parse_keys(keys), ["id"], None)
