"""Reading JSON on both paths: every reason, and what only looks like an event."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.batches import Records
from operators.columns.byte_column import ByteColumn
from operators.decode.decoder import Decoder
from operators.decode.events import EventSpec
from operators.decode.json.reader import decode_column, not_utf8
from tests import strategies
from tests.decoding import EVENT, OPEN, batch_of, both_ways, decode, event, reasons, spec_of
from tests.model import Event, Record, Settings, read
from tests.pipeline import event_spec, records_of
from tests.strategies import NOW


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
