"""Reading records: both paths of the decoder, every reason, and what only looks like an event."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.batches import Batch, DecodedBatch, Records, Span
from operators.coalesce import coalesce
from operators.columns.byte_column import ByteColumn
from operators.decode.decoder import Decoder, decode_column, not_utf8
from operators.decode.events import EventSpec, explain
from operators.decode.fast_path import ColumnReader
from operators.keys.combination import Combination
from operators.keys.paths import parse_keys, resolve_shard
from tests import strategies
from tests.model import Event, Record, Settings, read
from tests.pipeline import event_spec, records_of
from tests.strategies import NOW

EVENT_ID = Combination(("event_id",))
EVENT = EventSpec((EVENT_ID,), EVENT_ID)
NOTHING = Combination(())


def spec_of(*keys: object, shard: tuple[str, ...] | None = None, **more: Any) -> EventSpec:  # noqa: ANN401
    combinations = parse_keys(list(keys))
    ignored = more.get("content_ignore", frozenset({"event_id", "timestamp"}))
    return EventSpec(combinations, resolve_shard(combinations, ignored, shard), **more)


def batch_of(records: Records, read_at: float = NOW) -> Batch:
    end = int(records.offsets[-1]) + 1 if len(records) else 0
    return Batch.of(Span(0, 1, 0, end, read_at), records)


def one_by_one(spec: EventSpec) -> Decoder:
    """A decoder that takes no column at once."""
    decoder = Decoder(spec)
    decoder._columns = None
    return decoder


def decode(spec: EventSpec, *values: bytes | None, **more: Any) -> DecodedBatch:  # noqa: ANN401
    """Decode values both ways, and say what both said."""
    records = Records(np.arange(len(values)), list(values), **more)
    return both_ways(spec, batch_of(records))


def both_ways(spec: EventSpec, batch: Batch) -> DecodedBatch:
    fast, slow = Decoder(spec)(batch), one_by_one(spec)(batch)
    assert reasons(fast) == reasons(slow)
    valid = ~np.isnan(slow.decided.times)
    one_type, other_type = fast.decided.types, slow.decided.types
    assert (one_type and one_type.tolist()) == (other_type and other_type.tolist())
    for name in ("times", "running_max", "hashes", "shards", "texts"):
        one, other = getattr(fast.decided, name), getattr(slow.decided, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            rows = valid if name in ("hashes", "shards") else slice(None)
            np.testing.assert_array_equal(one[rows], other[rows], name)
    np.testing.assert_array_equal(fast.lanes, slow.lanes)
    assert fast.max_event_times == slow.max_event_times
    return fast


def reasons(decoded: DecodedBatch) -> dict[int, str]:
    return {row: reason for row, (reason, _) in sorted(decoded.decided.invalid.items())}


def event(**members: str) -> bytes:
    """An event with some members replaced by other JSON texts, or left out (`-`)."""
    texts = {
        "event_id": '"e"',
        "user_id": '"u"',
        "event_type": '"click"',
        "timestamp": "1",
        "data": "{}",
    } | members
    inside = ",".join(f'"{name}":{text}' for name, text in texts.items() if text != "-")
    return f"{{{inside}}}".encode()


@pytest.mark.parametrize(
    "value, reason",
    [
        (event(), None),
        (None, "tombstone"),
        (b"", "json"),
        (b"{", "json"),
        (event(data="{]"), "json"),
        (event(data='{"a":"\\x41"}'), "json"),
        (event(data='{"a":"\\ud800"}'), "json"),
        (event(data='{"a":"\\ud800\\u0041"}'), "json"),
        (event(data='{"a":"\x01"}'), "json"),
        (event(data='{"a":NaN}'), "json"),
        (event(data='{"a":01}'), "json"),
        (event(more="1."), "json"),
        (event() + b"{}", "json"),
        (event(data='{"a":"?"}').replace(b"?", b"\xff"), "json"),
        (event(more='"?"').replace(b"?", b"\xed\xa0\x80"), "json"),
        (event(event_id='"?"').replace(b"?", b"\xc0\xaf"), "json"),
        (event().replace(b'"e"', b"'e'"), "json"),
        (b"\xef\xbb\xbf" + event(), "json"),
        (event().decode().encode("utf-16-le"), "json"),
        (event(event_id="1", data="NaN"), "json"),  # the first reason that fits
        (b"[]", "schema"),
        (b"null", "schema"),
        (b'"{}"', "schema"),
        (b"{}", "schema"),
        (event(event_id="-"), "schema"),
        (event(event_id="1"), "schema"),
        (event(event_id="null"), "schema"),
        (event(user_id='["u"]'), "schema"),
        (event(event_type="-"), "schema"),
        (event(data="[]"), "schema"),
        (event(data='"{}"'), "schema"),
        (event(data="null"), "schema"),
        (event(data="-"), "schema"),
        (event(timestamp="-"), "schema"),
        (event(timestamp="null"), "schema"),
        (event(timestamp="true"), "schema"),
        (event(timestamp="{}"), "schema"),
        (event(timestamp="1e999", user_id="1"), "schema"),
        (event(timestamp='"yesterday"'), "time"),
        (event(timestamp='""'), "time"),
        (event(timestamp="1e999"), "time"),
        (event(timestamp="-1e999"), "time"),
        (event(timestamp="1" + "0" * 400), "time"),
        (event(timestamp="9" * 5000), "time"),
        (event(timestamp=repr(NOW + 86400)), None),
        (event(timestamp=repr(NOW + 86401)), "future"),
        (event(timestamp="1e308"), "future"),
        (event(timestamp="1" + "0" * 300), "future"),
        (event(timestamp="-1e308"), None),
        (event(timestamp='"9999-12-31T23:59:59Z"'), "future"),
        (event(timestamp="9" * 5000, data='{"a":' + "9" * 5000 + "}"), "time"),
        (event(data='{"a":' + "9" * 5000 + "}", more="1e999"), None),
        (event(event_id=r'"\u0065"'), None),
        (event(event_id=r'"\ud83d\ude00"', data=r'{"a":"\ud83d\ude00"}'), None),
        (event(more='{"é":"\u0000"}'.replace("\u0000", "😀")), None),
        (b" \t\r\n" + event() + b"\n", None),
        (event().replace(b'"user_id"', rb'"\u0075ser_id"'), None),
        (event().replace(b'"user_id"', b'"user_id":5,"user_id"'), None),
        (event()[:-1] + b',"event_id":5}', "schema"),  # the last of repeated members counts
        (event()[:-1] + b',"timestamp":"x"}', "time"),
        (event(data="[]")[:-1] + b',"data":{}}', None),
    ],
)
def test_reason(value: bytes | None, reason: str | None) -> None:
    decoded = decode(EVENT, event(), value, event())
    assert reasons(decoded) == ({} if reason is None else {1: reason})
    model = read(Record(0, 1, None, value), Settings(), NOW)
    assert (model if isinstance(model, str) else None) == reason


OPEN = spec_of(["id"], time="at", schema="open")


@pytest.mark.parametrize(
    "value, reason",
    [
        (b'{"id":1,"at":1}', None),
        (b'{"id":null,"at":"1970-01-01T00:00:00Z"}', None),
        (b'{"at":1}', "key"),
        (b'{"ID":1,"at":1}', "key"),
        (b'{"at":"x"}', "key"),  # before `time`
        (b'{"id":1}', "time"),
        (b'{"id":1,"at":null}', "time"),
        (b'{"id":1,"at":true}', "time"),
        (b'{"id":1,"at":[1]}', "time"),
        (b'{"id":1,"at":1e300}', "future"),
        (b'{"at":1e300}', "key"),
        (b'{"id":1e999,"at":1}', None),
        (b'{"id":' + b"9" * 5000 + b',"at":1}', None),
        (b'{"id":' + b"9" * 40 + b',"at":1}', None),
        (b'{"id":{"a":[1e999]},"at":1}', None),
        (b"{}", "key"),
        (b"[]", "schema"),
        (b"1", "schema"),
    ],
)
def test_reason_with_an_open_schema(value: bytes, reason: str | None) -> None:
    assert reasons(decode(OPEN, value, b'{"id":1,"at":1}')) == ({0: reason} if reason else {})


def test_a_missing_record_key_header_or_timestamp() -> None:
    by_key = spec_of(["@key"], time="@record")
    decoded = decode(
        by_key, *[event()] * 4, keys=[b"", None, b"a", None], timestamps=np.array([1, 1, 0, 0])
    )
    assert reasons(decoded) == {1: "key", 2: "time", 3: "key"}
    assert decoded.decided.times[0] == 0.001
    assert reasons(decode(by_key, event())) == {0: "key"}
    by_header = spec_of(["@header.h", "event_id"])
    headers = [[("h", b"1")], None, [], [("h", b"1"), ("h", None)], [("H", b"1")]]
    assert list(reasons(decode(by_header, *[event()] * 5, headers=headers))) == [1, 2, 3, 4]


def test_a_shard_field_that_is_not_there_is_no_reason_and_equals_only_another() -> None:
    for spec in (
        spec_of(["event_id"], shard=("data.tenant",)),
        spec_of(["event_id"], shard=("@key",)),
        spec_of(["event_id"], shard=("@header.tenant",)),
    ):
        tenants = ["-", '"a"', "null", "-"]
        decoded = decode(
            spec,
            *[event(data=f'{{"tenant":{t}}}' if t != "-" else "{}") for t in tenants],
            keys=[None, b"a", b"", None],
            headers=[None, [("tenant", b"a")], [("tenant", b"")], [("tenant", None)]],
        )
        assert not decoded.decided.invalid
        hashes = [row.tobytes() for row in decoded.decided.hashes]
        assert hashes[0] == hashes[3]
        assert len(set(hashes)) == 3
        assert decoded.lanes[0] == decoded.lanes[3]


def test_records_with_one_key_but_other_shards_are_no_duplicates() -> None:
    spec = spec_of(["event_id"], ["event_type"], shard=("user_id",))
    decoded = decode(spec, event(), event(user_id='"v"'), event(timestamp="2"))
    first, other, again = decoded.decided.hashes
    assert (first == again).all()
    assert not (first == other).any()
    assert decoded.lanes[0] == decoded.lanes[2]


@pytest.mark.parametrize("shard", [None, (), ("user_id",), ("@key",)])
def test_lanes_hang_on_the_record_alone(shard: tuple[str, ...] | None) -> None:
    spec = spec_of(["user_id", "event_id"], shard=shard, lanes=5)
    values = [event(event_id=f'"{n}"', user_id=f'"{n % 7}"') for n in range(50)]
    keys = [b"%d" % (n % 3) for n in range(50)]
    records = Records(np.arange(100, 150), [*values, None], keys=[*keys, None])
    records.offsets = np.arange(100, 151)
    whole = both_ways(spec, batch_of(records))
    assert (
        whole.lanes[50] == 150 % 5
    )  # without a key: by offset, so that it is fenced like any other
    for row in range(50):
        one = Records(records.offsets[row : row + 1], [values[row]], keys=[keys[row]])
        assert Decoder(spec)(batch_of(one)).lanes[0] == whole.lanes[row]
    if shard == ():
        assert set(whole.lanes[:50].tolist()) == {0}


def test_a_record_from_the_future_keeps_its_lane() -> None:
    spec = spec_of(["event_id"], lanes=7)
    for name in range(20):
        value = event(event_id=f'"{name}"', timestamp="5000")
        records = Records(np.array([3]), [value])
        early = both_ways(replace(spec, max_future_seconds=0), batch_of(records, read_at=4000))
        late = both_ways(replace(spec, max_future_seconds=0), batch_of(records, read_at=5000))
        assert reasons(early) == {0: "future"}
        assert not late.decided.invalid
        assert early.lanes == late.lanes


def test_the_running_maximum_counts_valid_records_before_each() -> None:
    values = [event(timestamp=text) for text in ("5", '"x"', "3", repr(NOW * 2), "7", "-1", "7.5")]
    decoded = decode(EVENT, *values)
    assert decoded.decided.running_max.tolist() == [-np.inf, 5, 5, 5, 5, 7, 7]
    assert decoded.max_event_times == [7.5]
    assert decode(EVENT).max_event_times == [-np.inf]
    assert decode(EVENT, None, b"[]").max_event_times == [-np.inf]


def test_each_span_has_its_own_running_maximum_and_clock() -> None:
    times: tuple[list[int], ...] = ([5, 3, 9], [], [4, 9, 6])
    batches = [
        Batch.of(
            Span(partition, 3, 0, len(own), read_at),
            Records(np.arange(len(own)), [event(timestamp=str(time)) for time in own]),
        )
        for partition, (own, read_at) in enumerate(zip(times, (8, 8, 20), strict=True))
    ]
    [joined] = coalesce(batches, 1)
    decoded = Decoder(replace(EVENT, max_future_seconds=0))(joined)
    assert reasons(decoded) == {2: "future"}
    assert decoded.decided.running_max.tolist() == [-np.inf, 5, 5, -np.inf, 4, 9]
    assert decoded.max_event_times == [5, -np.inf, 9]


def test_types_are_kept_for_statistics() -> None:
    spec = replace(EVENT, types=True)
    values = [event(), event(event_type='"é"'), event(user_id="1"), event(event_type="1"), None]
    assert decode(spec, *values).decided.types.tolist() == [  # type: ignore[union-attr]
        "click",
        "é",
        "click",
        "",
        "",
    ]
    open_spec = replace(OPEN, types=True)
    values = [b'{"id":1,"at":1}', b'{"id":1,"at":1,"event_type":"a"}', b'{"event_type":"b"}']
    assert decode(open_spec, *values).decided.types.tolist() == ["", "a", "b"]  # type: ignore[union-attr]


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


@pytest.mark.parametrize(
    "spec, expected",
    [
        (spec_of(["event_id"], time="event_id"), {1: "schema"}),
        (spec_of(["event_id"], time="data"), {0: "time", 1: "schema"}),
        (spec_of(["id"], shard=(), time='quo"ted', schema="open"), {0: "key"}),
        (spec_of(["event_type.x"], time="id", schema="open", types=True), {0: "key"}),
    ],
)
def test_settings_that_only_one_by_one_takes(spec: EventSpec, expected: dict[int, str]) -> None:
    assert ColumnReader.of(spec) is None
    values = [
        event(event_id='"1970-01-01T00:00:01Z"'),
        rb'{"id":1,"quo\"ted":2,"event_type":{"x":1}}',
    ]
    assert reasons(decode(spec, *values)) == expected


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


@pytest.mark.parametrize(
    "spec",
    [
        spec_of(["id"], time="@record", schema="open"),
        spec_of(["id", "x"], time="@record", schema="open"),
        spec_of(["x"], shard=("id",), time="@record", schema="open"),
        spec_of("content", shard=("id",), time="@record", schema="open"),
        spec_of("content", time="@record", schema="open", text_fields=("id",)),
        spec_of("content", time="@record", schema="open", text_fields=("x",)),
        spec_of(["@header.h", "id"], time="@record", schema="open"),
    ],
)
def test_no_depth_of_nesting_ends_the_job(spec: EventSpec) -> None:
    limit = sys.getrecursionlimit()
    depths = [*range(10, limit, 100), *range(limit - 150, limit + 50), 100_000]
    values = [b'{"x":1,"id":' + b"[" * depth + b"]" * depth + b"}" for depth in depths]
    count = len(values)
    headers = [[("h", b"1")]] * count
    records = Records(
        np.arange(count), values, headers=headers, timestamps=np.ones(count, np.int64)
    )
    decoded = Decoder(spec)(batch_of(records))
    rejected = decoded.decided.invalid
    assert {reason for reason, _ in rejected.values()} == {"json"}
    # Once too deep, always too deep; and what was accepted has a time.
    assert sorted(rejected) == list(range(len(values) - len(rejected), len(values)))
    assert not np.isnan(decoded.decided.times[: -len(rejected)]).any()
    if decoded.decided.texts is not None:
        assert [text is None for text in decoded.decided.texts] == [
            n in rejected for n in range(count)
        ]


@pytest.mark.parametrize(
    "one, other, text",
    [
        ('"a"', '"b"', "a\nb"),
        ('"a"', None, "a\n"),  # a missing field leaves its newline
        (None, '"a"', "\na"),
        (None, None, "\n"),
        ('""', '" "', "\n "),
        (r'" a \t\u00a0\r\nb\u3000"', "1", " a b \n1"),
        (r'"a\u001cb\u001f\u200bc"', "null", "a\x1cb\x1f\u200bc\nnull"),  # no white space
        (r'"e\u0301A"', '{"b":1.0,"a":"e\u0301"}', 'éA\n{"a":"é","b":1}'),
    ],
)
def test_text_for_near_duplicates(one: str | None, other: str | None, text: str) -> None:
    fields = {name: value for name, value in (("one", one), ("other", other)) if value is not None}
    spec = replace(EVENT, text_fields=("one", "other"))
    assert decode(spec, event(**fields)).decided.texts.tolist() == [text]  # type: ignore[union-attr]


def test_what_is_refused_has_no_text() -> None:
    spec = spec_of(["event_id", "@key"], shard=(), text_fields=("user_id",))
    values = [event(), event(), event(timestamp='"x"'), event(user_id="1")]
    decoded = decode(spec, *values, keys=[b"k", None, b"k", b"k"])
    assert reasons(decoded) == {1: "key", 2: "time", 3: "schema"}
    assert decoded.decided.texts.tolist() == ["u", None, None, None]  # type: ignore[union-attr]


def test_a_column_is_decoded_past_its_errors() -> None:
    assert decode_column(int, [b"1", b"x", None, b"2", b"y"]) == (
        [1, None, None, 2, None],
        [1, 2, 4],
    )
    assert decode_column(int, []) == ([], [])


def test_rows_that_are_not_utf8() -> None:
    for values, rows in (
        ([b"a", b"\xff", None, "é".encode(), b"\xc3"], [1, 4]),
        ([b"a", b"b", None, b""], []),
        ([b"\xff", b"\xc3"], [0, 1]),
        ([b"\xc3", b"\xa9"], [0, 1]),  # UTF-8 only together
        ([None], []),
        ([b"\x7f\x80"], [0]),
    ):
        assert not_utf8(ByteColumn.of(values)) == rows


def test_what_is_wrong_is_said_in_words() -> None:
    assert explain({"event_id": 1, "user_id": "u", "event_type": "t", "timestamp": 1}) == (
        "event_id: input should be a valid string; data: field required"
    )
    values = [event(timestamp='"soon"'), event(timestamp="1e999"), event(timestamp=repr(NOW * 2))]
    messages = [message for _, message in decode(EVENT, *values).decided.invalid.values()]
    assert messages == [
        "timestamp: 'soon' is not an RFC 3339 date-time",
        "timestamp: not a finite number of epoch seconds nor an RFC 3339 date-time",
        "event time is 1700000000 s ahead of the clock, more than max_future_seconds",
    ]


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_both_paths_read_what_the_model_reads(data: st.DataObject) -> None:
    settings = data.draw(strategies.settings(similar=data.draw(st.booleans())))
    stream = data.draw(strategies.streams(settings, partitions=1, max_records=20))
    records = [
        replace(
            step.record, timestamp_ms=step.record.timestamp_ms and abs(step.record.timestamp_ms)
        )
        for step in stream.steps
    ]
    spec = replace(event_spec(settings, 3), types=data.draw(st.booleans()))
    decided = both_ways(spec, batch_of(records_of(records))).decided
    for row, record in enumerate(records):
        expected = read(record, settings, NOW)
        if record.timestamp_ms == 0:
            continue  # no time, in Kafka
        if isinstance(expected, str):
            assert decided.invalid[row][0] == expected
            continue
        assert isinstance(expected, Event)
        assert row not in decided.invalid
        assert decided.times[row] == expected.time
        if decided.texts is not None:
            assert decided.texts[row] == expected.text
