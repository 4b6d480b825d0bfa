"""The model reads values: JSON, reasons, times and numbers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.model import (
    Model,
    NotJsonError,
    Record,
    Settings,
    Verdict,
    canonical_text,
    number_text,
    parse,
    rfc3339,
)
from tests.model.builders import EVENT, NOW, OPEN, record


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"{", b"{} {}", b'{"a":1,}', b"[1,]", b"{'a':1}", b"{a:1}", b"True", b"nul"),
        *(b"NaN", b"[Infinity]", b"-Infinity", b"01", b"-", b"+1", b"1.", b".5", b"1e", b"0x1"),
        *(b'"\n"', b'"\\x"', b'"\\u00g0"', b'"a', b"\x0c1", b"\xa01", b"1\x00"),
        *(b"\xff", b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b"\xef\xbb\xbf1"),
        *("1".encode("utf-16"), "[1]".encode("utf-32-le")),
        *(rb'"\ud800"', rb'"\ude00\ud83d"', rb'{"\ud800":1}', rb'{"a":["\udfff"],"a":1}'),
        pytest.param(b"[" * 200_000 + b"]" * 200_000, id="deep array"),
        pytest.param(b'{"a":' * 200_000, id="deep object"),
    ],
)
def test_not_json(text: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse(text)


@pytest.mark.parametrize(
    "text, value",
    [
        (b"\t\n\r 1 ", 1),
        (b"-0", 0),
        (b"1E+2", 100.0),
        (b"1e400", float("inf")),
        (b'"\\/\x7f"', "/\x7f"),
        (b"[" * 50 + b"]" * 50, None),
    ],
)
def test_json(text: bytes, value: object) -> None:
    assert parse(text) == value or value is None


def without(name: str) -> dict[str, Any]:
    return {other: value for other, value in EVENT.items() if other != name}


KEY_X = replace(Settings(), keys=(("x",),))


@pytest.mark.parametrize(
    "settings, value, expected",
    [
        (Settings(), EVENT, None),
        (Settings(), EVENT | {"more": None}, None),
        (Settings(), EVENT | {"timestamp": "1970-01-01T00:00:01Z"}, None),
        (Settings(), b"null", "schema"),
        (Settings(), b"[{}]", "schema"),
        (Settings(), {}, "schema"),
        *[(Settings(), without(name), "schema") for name in EVENT],
        *[(Settings(), EVENT | {name: None}, "schema") for name in EVENT],
        *[(Settings(), EVENT | {name: 1}, "schema") for name in EVENT if name != "timestamp"],
        (Settings(), EVENT | {"timestamp": True}, "schema"),
        (Settings(), EVENT | {"data": "{}"}, "schema"),
        # the first that fits
        (KEY_X, EVENT | {"timestamp": None}, "schema"),
        (KEY_X, EVENT | {"timestamp": "no"}, "key"),
        (KEY_X, EVENT | {"timestamp": 1e300}, "key"),
        (Settings(), EVENT | {"timestamp": "no"}, "time"),
        (Settings(), json.dumps(EVENT).replace("1", "1e999").encode(), "time"),
        (Settings(), json.dumps(EVENT).replace("1", "-1e999").encode(), "time"),
        (Settings(), EVENT | {"timestamp": 10**400}, "time"),
        (Settings(), EVENT | {"timestamp": 1e300}, "future"),
        (Settings(), EVENT | {"timestamp": -1e300}, None),
        (Settings(), EVENT | {"timestamp": NOW + 86400}, None),
        (Settings(), EVENT | {"timestamp": NOW + 86400.001}, "future"),
        (replace(Settings(), time="data.at"), EVENT, "time"),
        (OPEN, {"id": 1}, "time"),
        (OPEN, {"t": 1}, "key"),
        (OPEN, {"t": True, "id": 1}, "time"),
        (OPEN, {"t": None, "id": 1}, "time"),
        (OPEN, {"t": "1", "id": 1}, "time"),
        (OPEN, [], "schema"),
        (replace(OPEN, time="@record"), {"id": 1}, "time"),
    ],
)
def test_reason(settings: Settings, value: object, expected: str | None) -> None:
    verdict = Model(settings, {0}).decide(record(value), now=NOW)
    assert verdict == (Verdict("invalid", reason=expected) if expected else Verdict("unique"))


def test_tombstone() -> None:
    verdict = Model(KEY_X, {0}).decide(Record(0, 0, b"k", None), now=NOW)
    assert verdict == Verdict("invalid", reason="tombstone")


def test_record_time_is_in_milliseconds() -> None:
    model = Model(replace(OPEN, time="@record"), {0})
    model.decide(record({"id": 1}, timestamp_ms=1500), now=NOW)
    assert model.watermark == 1.5


DAY = 86400


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T01:30:00+01:30", 0),
        ("1969-12-31T12:00:00-12:00", 0),
        ("1970-01-01T23:59:00+23:59", 0),
        ("1969-12-31T23:59:59.5Z", -0.5),
        ("1970-01-01T00:00:00.123456789Z", 0.123456789),
        pytest.param("1970-01-01T00:00:00." + "1" * 6000 + "Z", 1 / 9, id="6000 digits"),
        ("2000-02-29T00:00:00Z", 951782400),
        ("1985-04-12T23:20:50.52Z", 482196050.52),  # this and the next three: RFC 3339, 5.8
        ("1996-12-19T16:39:57-08:00", 851042397),
        ("1990-12-31T23:59:60Z", 662688000),
        ("1990-12-31T15:59:60-08:00", 662688000),
        ("1970-01-01T23:59:60Z", DAY),  # at the end of any UTC day
        ("1970-01-01T23:59:60.25Z", DAY + 0.25),
        ("1970-01-02T00:59:60+01:00", DAY),
        ("1970-01-02T00:29:60+00:30", DAY),
        ("9999-12-31T23:59:59Z", 253402300799),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("0000-12-31T00:00:00Z", -62135596800 - DAY),
        ("0000-02-29T00:00:00Z", -62167219200 + 59 * DAY),
        ("0000-01-01T00:00:00+23:59", -62167219200 - DAY + 60),
    ],
)
def test_rfc3339(text: str, seconds: float) -> None:
    assert rfc3339(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-01-01T00:00Z"),
        *("1970-01-01T00:00:00.Z", "1970-01-01T00:00:00,5Z", "19700101T000000Z"),
        *("1970-01-01T00:00:00+0100", "1970-01-01T00:00:00+01", "1970-01-01T00:00:00 Z"),
        *(" 1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z\n", "1970-01-01T00:00:00ZZ"),
        *("1970-00-01T00:00:00Z", "1970-13-01T00:00:00Z", "1970-01-00T00:00:00Z"),
        *("1970-01-32T00:00:00Z", "1970-04-31T00:00:00Z", "1900-02-29T00:00:00Z"),
        *("2023-02-29T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z"),
        *("1970-01-01T00:00:61Z", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+00:60"),
        *("1970-01-01T23:58:60Z", "1970-01-01T00:00:60Z", "1970-01-01T23:59:60+01:00"),
        *("10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "1970-1-01T00:00:00Z"),
        *("\u0661970-01-01T00:00:00Z", "1970-01-01T00:00:00\u2212" + "01:00", "1970-W01-4"),
    ],
)
def test_not_rfc3339(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rfc3339(text)


@pytest.mark.parametrize(
    "value, text",
    [
        (1.0, "1"),
        (-0.0, "0"),
        (1e21, "1" + "0" * 21),
        (2**60 + 1, "1152921504606846977"),
        (0.5, "0.5"),
        (-1.25e-5, "-0.0000125"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.5e-7, "-1.5e-7"),
        (1e-320, "1e-320"),
        pytest.param(10**5000, "1" + "0" * 5000, id="5001 digits"),
    ],
)
def test_number_text(value: float, text: str) -> None:
    assert number_text(value) == text


def test_canonical_text() -> None:
    assert canonical_text(parse(b' { "b" : [ 1.0 , null , true ] , "a" : "\\u0041/" } ')) == (
        '{"a":"A/","b":[1,null,true]}'
    )
    assert canonical_text({"\ufb33": 1, "😀": 2, "\x80": 3}) == '{"\x80":3,"😀":2,"\ufb33":1}'
    assert (
        canonical_text('\b\t\n\f\r"\\\x00\x1f\x7fé')
        == '"\\b\\t\\n\\f\\r\\"\\\\\\u0000\\u001f\x7fé"'
    )
