"""Settings that the fast path takes: keys in structs, keys of whole events, the content."""

from dataclasses import replace
from typing import Any

import pytest

from operators.decode.json.fast_path import ColumnReader
from tests.decoding import decode, event, reasons, spec_of


@pytest.mark.parametrize(
    "keys, at, why",
    [
        ([["data"], ["data.a"]], "at", "a path into another"),
        ([["data.a", "data"]], "at", "the same, the other way round"),
        ([["at"]], "at", "the key is the time"),
        ([["at.x"]], "at", "the key lies in the time"),
        ([['quo"ted']], "at", "a name that msgspec does not take"),
        ([["back\\slash", "x"]], "at", "a name that msgspec does not take"),
        ([["line\nbreak"]], "at", "a name that msgspec does not take"),
        (["content"], "at", "the whole event"),
        (["content", ["data.a"]], "at", "the whole event beside a field"),
        ([["@header.h"]], "at", "a header"),
        ([["@key", "id"]], "at", "the record key beside a field"),
        ([["@key", "@header.h", "data"]], "at", "one of each"),
    ],
)
def test_keys_that_no_struct_holds(keys: list[Any], at: str, why: str) -> None:
    spec = spec_of(*keys, shard=(), time=at, schema="open")
    assert ColumnReader.of(spec) is not None, why
    value = (
        rb'{"at":1,"data":{"a":1},"quo\"ted":1,"back\\slash":1,"x":1,"line\u000abreak":1,"id":"i"}'
    )
    other = value.replace(b"1", b"123456789012345678901")
    more = {"keys": [b"k", b"l", None], "headers": [[("h", b"1")], [("h", b"")], None]}
    decoded = decode(spec, value, other, b'{"at":1}', **more)
    if keys == [["at.x"]]:
        assert set(reasons(decoded).values()) == {"key"}
    else:
        assert reasons(decoded).get(0) is None
        assert (decoded.decided.hashes[0] != decoded.decided.hashes[1]).any()


@pytest.mark.parametrize("schema", ["event", "open"])
@pytest.mark.parametrize("ignored", [(), ("event_id", "timestamp"), ("data", "gone", "user_id")])
@pytest.mark.parametrize(
    "keys", [["content"], ["content", ["user_id"]], [["timestamp"], "content"]]
)
def test_whole_events_are_compared_less_what_is_left_out(
    keys: list[Any],
    ignored: tuple[str, ...],
    schema: Any,  # noqa: ANN401
) -> None:
    left_out = frozenset(ignored)
    spec = spec_of(*keys, shard=(), schema=schema, content_ignore=left_out)
    values = [
        event(),
        event(event_id='"other"'),
        event(timestamp="1.0"),
        event(data='{"b":1,"a":[1e0]}'),
        event(data='{"a":[1],"b":1.0}'),
        event(data='{"a":[1],"b":1.5}'),
        event(user_id='"v"', more='"é"'),
        event(data='{"a":' + "9" * 5000 + "}"),
        event()[:-1] + b',"data":{"a":2},"data":{"a":[1],"b":1}}',
        b"{",
        None,
    ]
    decoded = decode(replace(spec, text_fields=("data", "event_id")), *values)
    assert list(reasons(decoded)) == [9, 10]
    at = keys.index("content")
    texts = [hash_.tobytes() for hash_ in decoded.decided.hashes[:9, at]]
    assert (texts[0] == texts[1]) == ("event_id" in left_out)
    assert texts[0] == texts[2]
    assert texts[3] == texts[4] == texts[8]
    assert (texts[4] == texts[5]) == ("data" in left_out)
    assert texts[0] != texts[6]
    assert (texts[0] == texts[7]) == ("data" in left_out)


@pytest.mark.parametrize(
    "keys, schema",
    [
        ([["data.a.b"], ["data.c"]], "event"),
        ([["more"]], "event"),
        ([["event_id", "data.a.b"]], "event"),
        ([["@key"]], "event"),
        ([["é", "a b.c"]], "open"),
        ([["f0"], ["f1"]], "open"),
        ([["data"]], "event"),
        ([["timestamp", "data.a.b"]], "event"),
    ],
)
def test_settings_that_the_fast_path_takes(keys: list[Any], schema: Any) -> None:  # noqa: ANN401
    spec = spec_of(*keys, shard=(), schema=schema)
    assert ColumnReader.of(spec) is not None
    values = [
        event(
            **{"é": "1", "a b": '{"c":"😀"}', "f0": value, "f1": "null", "more": value},
            data=f'{{"a":{{"b":{value},"x":1}},"c":"c","d":[]}}',
        )
        for value in ('"a"', "1", "1.0", "null", "1e999", "9" * 40, "9" * 5000, '{"b":1,"a":1e0}')
    ]
    decoded = decode(spec, *values, event(), keys=[*[b"k"] * 8, None])
    assert set(reasons(decoded)) <= {8}
    assert (decoded.decided.hashes[1] == decoded.decided.hashes[2]).all()
