"""The values that make a key; only equal values share a hash."""

from collections.abc import Sequence

import pytest

from operators.keys.canonical_json import decode_json
from operators.keys.combination import (
    MISSING,
    Bytes,
    Combination,
    content_of,
    hash_values,
    look_up,
)
from operators.keys.hashing import SHARD

EVENT: dict[str, object] = {"a": {"b": None, "c.d": 1}, "c": [{"d": 1}], "e": "x", "": {"": 2}}


@pytest.mark.parametrize(
    "path, value",
    [
        ("e", "x"),
        ("a.b", None),  # null is a value
        ("a", {"b": None, "c.d": 1}),
        ("a.c.d", MISSING),  # a dot always separates
        ("a.b.c", MISSING),
        ("c.0.d", MISSING),  # a path goes through objects only
        ("e.x", MISSING),
        ("f", MISSING),
        ("@key", Bytes(b"k")),
        ("@header.h", Bytes(b"2")),  # the last of a repeated header
        ("@header.H", MISSING),
        ("@header.null", MISSING),
        ("@header.a.b", Bytes(b"")),
    ],
)
def test_look_up(path: str, value: object) -> None:
    headers = [("h", b"1"), ("h", b"2"), ("null", b"1"), ("null", None), ("a.b", b"")]
    assert look_up(path, EVENT, b"k", headers) == value


def test_without_key_and_headers() -> None:
    assert look_up("@key", EVENT, None, None) is MISSING
    assert look_up("@header.h", EVENT, None, None) is MISSING
    assert look_up("@key", EVENT, b"", None) == Bytes(b"")


def _values(*texts: str) -> list[object]:
    return [decode_json(text.encode()) for text in texts]


_KINDS: list[Sequence[object]] = [
    _values('"a"', '"b:c"'),
    _values('"a:b"', '"c"'),
    _values('"a,b"', '"c"'),
    _values('"a"', '"b,c"'),
    _values('"ab"', '"c"'),
    _values('"a"', '"bc"'),
    _values('["a","b"]', '"c"'),
    _values('"a\\u0000b"', '"c"'),
    _values('"a"', '"c"'),
    _values('"c"', '"a"'),
    _values('"a"', '"c"', "null"),
    _values('"a"', "null"),
    [*_values('"a"'), MISSING],
    [MISSING, *_values('"a"')],
    _values('"a"'),
    _values('["a"]'),
    _values('"[\\"a\\"]"'),
    _values('"\\"a\\""'),
    _values("1"),
    _values('"1"'),
    _values("true"),
    _values('"true"'),
    _values("null"),
    _values('""'),
    _values("[]"),
    _values('"missing"'),
    [MISSING],
    _values("1e999"),
    _values('"Infinity"'),
]


def test_no_two_different_combinations_are_equal() -> None:
    hashes = [hash_values(values, 0) for values in _KINDS]
    assert len(set(hashes)) == len(_KINDS)


@pytest.mark.parametrize(
    "first, second",
    [
        (_values("1"), _values("1.0")),
        (_values("0"), _values("-0.0")),
        (_values("1e999"), _values("2e999")),
        (_values('{"a":1,"b":2}'), _values('{"b":2,"a":1e0}')),
        (_values('"é"', "1"), _values(r'"\u00e9"', "1e0")),
        ([MISSING], [MISSING]),
    ],
)
def test_equal_values_have_equal_hashes(first: list[object], second: list[object]) -> None:
    assert hash_values(first, 3) == hash_values(second, 3)


def test_the_same_value_in_two_combinations_has_two_hashes() -> None:
    hashes = {
        hash_values(values, index)
        for values in (["a"], [1], [Bytes(b"a")])
        for index in (0, 1, SHARD)
    }
    # A field is always JSON or always bytes, so "a" and b"a" need not differ.
    assert len(hashes) == 6


@pytest.mark.parametrize(
    "combination, name",
    [
        (Combination(("event_id",)), "event_id"),
        (Combination(("user_id", "data.session_id")), "user_id,data.session_id"),
        (Combination(("@key", "@header.a")), "@key,@header.a"),
        (Combination((), content=True), "content"),
    ],
)
def test_name(combination: Combination, name: str) -> None:
    assert combination.name == name


def test_content_leaves_out_ignored_members_at_the_top_only() -> None:
    event: dict[str, object] = {"id": 1, "b": {"id": 2}, "a": 1}
    assert content_of(event, frozenset({"id", "x"})) == b'{"a":1,"b":{"id":2}}'
    assert content_of(event, frozenset({"x"})) == b'{"a":1,"b":{"id":2},"id":1}'
    assert content_of({}, frozenset()) == b"{}"
