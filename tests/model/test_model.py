"""The model against the text of docs/reference: borders, one line each."""

import json
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests import strategies
from tests.model import (
    Free,
    Model,
    NotJsonError,
    Record,
    Settings,
    Verdict,
    canonical,
    canonical_text,
    jaccard,
    levenshtein,
    normal,
    number_text,
    output_headers,
    output_line,
    parse,
    rfc3339,
    shingles,
)

NOW = 1000.0
OPEN = Settings(schema="open", keys=(("id",),), time="t", window_seconds=10, lateness=1e6)
EVENT: dict[str, Any] = {
    "event_id": "e",
    "user_id": "u",
    "event_type": "click",
    "timestamp": 1,
    "data": {},
}


def record(value: object, partition: int = 0, offset: int = 0, **more: Any) -> Record:  # noqa: ANN401
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record(partition, offset, more.pop("key", None), text, **more)


def verdicts(settings: Settings, *events: dict[str, Any]) -> list[Verdict]:
    """The verdicts on events of partition 0, at offsets 0, 1, 2 …."""
    model = Model(settings, {0})
    return [
        model.decide(record(event, offset=offset), now=NOW) for offset, event in enumerate(events)
    ]


def decided(settings: Settings, *events: tuple[float, object]) -> str:
    """One word an event, (time, id): `u` unique, `l` late, `d0` duplicate of offset 0."""
    words = []
    for verdict in verdicts(settings, *[{"t": time, "id": name} for time, name in events]):
        original = "" if verdict.original is None else str(verdict.original[1])
        words.append(verdict.kind[0] + original)
    return " ".join(words)


@pytest.mark.parametrize(
    "window, times, expected",
    [
        ("tumbling", [0, 9.99], "u d0"),
        ("tumbling", [0, 10], "u u"),
        ("tumbling", [9, 10, 19, 9.5], "u u d1 d0"),
        ("tumbling", [-0.1, 0], "u u"),
        ("tumbling", [-10, -0.1], "u d0"),
        ("tumbling", [-10, -10.1], "u u"),
        ("tumbling", [-0.0, 0], "u d0"),
        ("sliding", [0, 9.99], "u d0"),
        ("sliding", [0, 10], "u u"),
        ("sliding", [0, -9.99], "u d0"),
        ("sliding", [0, -10], "u u"),
        ("sliding", [0, 6, 12], "u d0 u"),  # duplicates do not extend it
        ("sliding", [0, 12, 6], "u u d0"),  # both match: the one decided first
        ("sliding", [12, 0, 6], "u u d0"),
        ("session", [0, 9.99], "u d0"),
        ("session", [0, 10], "u u"),
        ("session", [0, -10], "u u"),
        ("session", [0, 6, 12], "u d0 d0"),  # duplicates extend it
        ("session", [0, 6, 16], "u d0 u"),
        ("session", [0, -6, -12, 6], "u d0 d0 d0"),
        ("session", [0, 12, 6], "u u d0"),  # touches two
        ("session", [12, 0, 6, 21, -9], "u u d0 d0 d0"),  # joined: one session from 0 to 12
        ("session", [0, 20, 10], "u u u"),  # exactly G from both
        ("session", [0, 20, 9, 12], "u u d0 d0"),
        ("forever", [0, 900, -999100], "u d0 d0"),
    ],
)
def test_window(window: Any, times: list[float], expected: str) -> None:  # noqa: ANN401
    settings = replace(OPEN, window=window)
    assert decided(settings, *[(time, "a") for time in times]) == expected


@pytest.mark.parametrize(
    "lateness, times, expected",
    [
        (5, [100, 95, 94.99], "u u l"),  # strictly below
        (0, [100, 100, 99.99, 101], "u u l u"),
        (5, [100, 94, 94, 96], "u l l u"),
        (5, [1, 100], "u u"),  # a record does not count for itself
        (5, [100, 1, 99], "u l u"),
        (0, [-1e300, -1e308, 5], "u l u"),
    ],
)
def test_late(lateness: float, times: list[float], expected: str) -> None:
    settings = replace(OPEN, lateness=lateness)
    assert decided(settings, *[(time, n) for n, time in enumerate(times)]) == expected


def test_late_comes_before_duplicate_and_says_by_how_much() -> None:
    settings = replace(OPEN, lateness=0, window="forever")
    events = [{"t": time, "id": "a"} for time in (0, 10, 0)]
    assert verdicts(settings, *events)[2] == Verdict("late", late_by=10)


def test_a_late_record_is_not_remembered() -> None:
    assert decided(replace(OPEN, lateness=5), (100, "b"), (50, "a"), (96, "a")) == "u l u"


def test_invalid_records_do_not_move_the_watermark() -> None:
    settings = replace(OPEN, lateness=0, max_future=10)
    assert decided(settings, (0, "a"), (NOW + 11, "b"), (0, "c"), (NOW + 10, "d")) == "u i u u"
    assert decided(settings, (0, "a"), (NOW + 10, "b"), (0, "c")) == "u u l"


# (partition, time, idle partitions) of each record, and the watermark after it.
@pytest.mark.parametrize(
    "steps",
    [
        [((0, 5, ""), None), ((1, 3, ""), 3), ((1, 9, ""), 5), ((0, 7, ""), 7)],
        [((0, 5, "1"), 5), ((1, 1, ""), 5), ((1, 8, ""), 5), ((0, 6, ""), 6)],  # never back
        [((0, 5, ""), None), ((1, 9, "0"), 9), ((0, 20, ""), 9), ((0, 30, "1"), 30)],
        [((0, 5, ""), None), ((0, 6, "0"), None), ((0, 6, "01"), 6)],  # its own is not idle
        [((0, 5, "1"), 5), ((0, -7, "1"), 5), ((0, 5, "1"), 5)],
        [((0, 9, ""), None), ((0, 5, ""), None), ((1, 20, ""), 9)],  # the largest, not the last
    ],
)
def test_watermark(steps: list[tuple[tuple[int, float, str], float | None]]) -> None:
    model = Model(OPEN, {0, 1})
    for (partition, time, idle), watermark in steps:
        given_idle = frozenset(map(int, idle))
        model.decide(record({"t": time, "id": 1}, partition), now=NOW, idle=given_idle)
        assert model.watermark == watermark


def test_watermark_stays_while_all_are_idle_and_moves_when_one_turns_idle() -> None:
    model = Model(OPEN, {0, 1})
    model.decide(record({"t": 5, "id": 1}, 0), now=NOW)
    found = []
    for idle in ({0, 1}, {1}, {0, 1}, set[int]()):
        model.observe(frozenset(idle))
        found.append(model.watermark)
    model.partitions.add(2)  # after a restart: not heard from, but what is late stays late
    model.observe()
    assert [*found, model.watermark] == [None, 5, 5, 5, 5]


def test_nothing_is_late_while_a_partition_sent_only_invalid_records() -> None:
    model = Model(replace(OPEN, lateness=0), {0, 1})
    model.decide(record(b"{", 1), now=NOW)
    model.decide(record({"t": 5, "id": 1}, 0), now=NOW)
    assert model.decide(record({"t": 1, "id": 2}, 0), now=NOW).kind == "unique"


def test_an_unknown_partition_is_refused() -> None:
    with pytest.raises(ValueError, match="partition 7"):
        Model(OPEN, {0}).decide(record({}, 7), now=NOW)


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("1", "1.0", True),
        ("1", "1e0", True),
        ("1", "10E-1", True),
        ("0", "-0", True),
        ("0", "-0.0", True),
        ("1", '"1"', False),
        ("1", "true", False),
        ("0", "false", False),
        ("null", "0", False),
        ("null", "null", True),
        ("9007199254740993", "9007199254740992", False),
        ("9007199254740993", "9007199254740993.0", False),  # the double is ….992
        ("9007199254740992", "9007199254740993.0", True),
        ("1e21", "1" + "0" * 21, True),
        pytest.param("1" + "0" * 5000, "1" + "0" * 4999 + "1", False, id="5001 digits"),
        ("0.1", "0.10000000000000000001", True),  # the same double
        ("1e999", "1e1000", True),
        ("1e999", "-1e999", False),
        ('{"a":1,"b":2}', '{"b":2.0,"a":1}', True),
        ('{"a":1,"b":2}', '{"a":1}', False),
        ('{"a":0,"a":1}', '{"a":1}', True),  # the last one counts
        ('{"a":1,"a":0}', '{"a":1}', False),
        ("{}", "[]", False),
        ("[1,2]", "[2,1]", False),
        ("[[1],2]", "[1,[2]]", False),
        ('"a"', r'"\u0061"', True),
        ('"\u00e9"', '"e\u0301"', False),  # by code point: no normal form
        (r'"\ud83d\ude00"', '"😀"', True),
        ('""', "null", False),
    ],
)
def test_values_of_keys(one: str, other: str, same: bool) -> None:
    assert (canonical(parse(one.encode())) == canonical(parse(other.encode()))) is same
    texts = [f'{{"t":1,"id":{text}}}'.encode() for text in (one, other)]
    model = Model(OPEN, {0})
    kinds = [model.decide(record(text), now=NOW).kind for text in texts]
    assert kinds == ["unique", "duplicate" if same else "unique"]


A_OR_B = replace(OPEN, keys=(("a",), ("b",)), shard_by=())


@pytest.mark.parametrize(
    "settings, events, expected",
    [
        # the first combination in the order given names the match
        (A_OR_B, [{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 1}], ["", "", "a:1"]),
        (A_OR_B, [{"a": 1, "b": 1}, {"a": 2, "b": 1}], ["", "b:0"]),
        # a duplicate enters no keys
        (A_OR_B, [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 3, "b": 2}], ["", "a:0", ""]),
        # no separator trick
        (replace(OPEN, keys=(("a", "b"),)), [{"a": "1,2", "b": "3"}, {"a": "1", "b": "2,3"}], 2),
        (replace(OPEN, keys=(("a", "b"),)), [{"a": 1, "b": 2}, {"a": 2, "b": 1}], 2),
        (replace(OPEN, keys=(("a", "b"),)), [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], ["", "a,b:0"]),
        # paths
        (
            replace(OPEN, keys=(("a.b",),)),
            [{"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}],
            ["", "a.b:0"],
        ),
        (replace(OPEN, keys=(("a.b",),)), [{"a": {"b": None}}, {"a": {"b": None}}], ["", "a.b:0"]),
        (replace(OPEN, keys=(("a.b",),)), [{"a": 1}, {"a": [{"b": 1}]}, {"a.b": 1}], ["key"] * 3),
        (replace(OPEN, keys=(("a",), ("b",))), [{"a": 1}, {"b": 1}], ["key", "key"]),
        # content: less the ignored top-level fields
        (replace(OPEN, keys=("content",)), [{"event_id": 1}, {"event_id": 2}], ["", "content:0"]),
        (replace(OPEN, keys=("content",)), [{"a": {"event_id": 1}}, {"a": {"event_id": 2}}], 2),
        (replace(OPEN, keys=("content",)), [{"a": 1}, {"a": 1, "b": None}], 2),
        # duplicates share the fields of DEDUP_SHARD_BY
        (replace(OPEN, keys=(("a",),), shard_by=("b",)), [{"a": 1, "b": 1}, {"a": 1, "b": 2}], 2),
    ],
)
def test_keys(settings: Settings, events: list[dict[str, Any]], expected: list[str] | int) -> None:
    """Expected: `matched:offset` or the reason of each, "" for unique; or how many are unique."""
    found = []
    for verdict in verdicts(settings, *[{"t": 1, **event} for event in events]):
        original = verdict.original
        found.append(f"{verdict.matched}:{original[1]}" if original else verdict.reason or "")
    assert found == ([""] * expected if isinstance(expected, int) else expected)


def test_a_session_is_extended_only_for_the_combination_that_matched() -> None:
    settings = replace(A_OR_B, window="session")
    events = [{"t": 0, "a": 1, "b": 1}, {"t": 8, "a": 1, "b": 1}, {"t": 16, "a": 2, "b": 1}]
    assert [verdict.kind for verdict in verdicts(settings, *events)][2] == "unique"
    events[2] = {"t": 16, "a": 1, "b": 2}
    assert verdicts(settings, *events)[2] == Verdict("duplicate", matched="a", original=(0, 0))


@pytest.mark.parametrize(
    "path, one, other, same",
    [
        ("@key", {"key": b"a"}, {"key": b"a"}, True),
        ("@key", {"key": b"a"}, {"key": b"A"}, False),
        ("@key", {"key": b""}, {"key": b""}, True),
        ("@key", {"key": b"1"}, {"key": b"1.0"}, False),  # as bytes
        ("@header.h", {"headers": [("h", b"a")]}, {"headers": [("x", b"b"), ("h", b"a")]}, True),
        ("@header.h", {"headers": [("h", b"a")]}, {"headers": [("h", b"b"), ("h", b"a")]}, True),
        ("@header.h", {"headers": [("h", b"a")]}, {"headers": [("h", b"a"), ("h", b"b")]}, False),
        ("@header.a.b", {"headers": [("a.b", b"a")]}, {"headers": [("a.b", b"a")]}, True),
    ],
)
def test_record_keys_and_headers(
    path: str, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    model = Model(replace(OPEN, keys=((path,),)), {0})
    kinds = [model.decide(record({"t": 1}, **more), now=NOW).kind for more in (one, other)]
    assert kinds == ["unique", "duplicate" if same else "unique"]


@pytest.mark.parametrize("path", ["@key", "@header.h"])
@pytest.mark.parametrize("headers", [None, [], [("H", b"a")], [("h", b"a"), ("h", None)]])
def test_a_missing_record_key_or_header(path: str, headers: Any) -> None:  # noqa: ANN401
    model = Model(replace(OPEN, keys=((path,),)), {0})
    assert model.decide(record({"t": 1}, headers=headers), now=NOW).reason == "key"


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


def test_normal_text() -> None:
    assert normal("e\u0301 \u00a0\t\r\n\u3000B ") == "\u00e9 B "
    assert normal("a\x1cb") == "a\x1cb"  # no White_Space in Unicode


@pytest.mark.parametrize(
    "one, other, shingle, expected",
    [
        ("", "", "3c", 1),
        ("", "abc", "3c", 0),
        ("ab", "ab", "3c", 1),
        ("ab", "ba", "3c", 0),
        ("abcd", "abcx", "3c", 1 / 3),
        ("aaaa", "aaa", "3c", 1),  # sets
        ("one two three", "one, two; three!", "2w", 1),
        ("one two three", "one two four", "2w", 1 / 3),
        ("one", "one!", "2w", 0),  # shorter than one shingle: its own
        ("one", "one!", "1w", 1),
        ("ab cd", "abc d", "1w", 0),
        ("A1", "a1", "1w", 0),  # case kept
    ],
)
def test_jaccard(one: str, other: str, shingle: str, expected: float) -> None:
    assert jaccard(one, other, shingle) == jaccard(other, one, shingle) == expected


def test_shingles() -> None:
    assert shingles("abab", "2c") == {("a", "b"), ("b", "a")}


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("", "", 1),
        ("", "a", 0),
        ("kitten", "sitting", 1 - 3 / 7),
        ("ab", "ba", 0),
        ("😀😀", "😀", 0.5),  # code points
        ("abc", "xabc", 0.75),
    ],
)
def test_levenshtein(one: str, other: str, expected: float) -> None:
    assert levenshtein(one, other) == levenshtein(other, one) == expected


NEAR = replace(
    OPEN,
    similarity=0.75,
    similarity_metric="levenshtein",
    similarity_fields=("x",),
    similarity_seconds=5,
    window_seconds=1,
)


@pytest.mark.parametrize(
    "settings, events, expected",
    [
        (NEAR, [(1, "abcd"), (1, "abcx")], [None, (0, 0.75)]),  # at the threshold
        (NEAR, [(1, "abc"), (1, "abx")], [None, None]),
        (NEAR, [(1, "abcd"), (6, "abcd")], [None, (0, 1)]),  # exactly as far as allowed
        (NEAR, [(1, "abcd"), (6.01, "abcd")], [None, None]),
        (NEAR, [(6, "abcd"), (1, "abcd")], [None, (0, 1)]),  # both ways
        (NEAR, [(1, "abcde"), (8, "abcdx"), (4, "abcdx")], [None, None, (1, 1)]),  # most similar
        (NEAR, [(8, "abcd"), (1, "abcd"), (4, "abcd")], [None, None, (0, 1)]),  # then the earliest
        (NEAR, [(1, "abcd"), (2, "abcx"), (3, "abyx")], [None, (0, 0.75), None]),  # to unique ones
        (NEAR, [(1, None), (1, "")], [None, (0, 1)]),  # two empty texts
        (NEAR, [(1, 1.0), (1, "1")], [None, (0, 1)]),  # canonical JSON against a string
        (NEAR, [(1, {"b": 1, "a": 2}), (1, '{"a":2,"b":1}')], [None, (0, 1)]),
    ],
)
def test_near_duplicates(
    settings: Settings, events: list[tuple[float, Any]], expected: list[tuple[int, float] | None]
) -> None:
    """Events: (time, x), None for a missing x.  Expected: (offset of the original, similarity)."""
    written: list[dict[str, Any]] = [
        {"t": time, "id": number} | ({} if x is None else {"x": x})
        for number, (time, x) in enumerate(events)
    ]
    found = [
        (verdict.original[1], verdict.similarity) if verdict.original else None
        for verdict in verdicts(settings, *written)
    ]
    assert found == expected


def test_near_duplicates_share_the_values_of_shard_by() -> None:
    settings = replace(NEAR, shard_by=("s",), keys=(("id", "s"),))
    events = [{"t": 1, "id": n, "s": s, "x": "a"} for n, s in enumerate([1, 2, 1.0])]
    assert [verdict.original for verdict in verdicts(settings, *events)] == [None, None, (0, 0)]


def test_exact_keys_come_before_near_duplicates() -> None:
    events = [{"t": 1, "id": 1, "x": "abcd"}, {"t": 1, "id": 2, "x": "zzzz"}]
    third = verdicts(NEAR, *events, {"t": 1, "id": 2, "x": "abcd"})[2]
    assert third == Verdict("duplicate", matched="id", original=(0, 1))


def test_several_fields_are_joined_by_a_newline() -> None:
    settings = replace(NEAR, similarity=1.0, similarity_fields=("x", "y"))
    events = [{"x": "a", "y": "b"}, {"x": "a b"}, {"x": "a\nb"}, {"y": "a b"}]
    stamped = [{"t": 1, "id": n, **event} for n, event in enumerate(events)]
    originals = [verdict.original for verdict in verdicts(settings, *stamped)]
    assert originals == [None, None, (0, 1), None]


@pytest.mark.parametrize(
    "verdict, added",
    [
        (Verdict("unique"), {}),
        (
            Verdict("duplicate", matched="a,b", original=(2, 30)),
            {"dedup.matched": b"a,b", "dedup.original": b"2:30"},
        ),
        (
            Verdict("duplicate", matched="similar", original=(2, 30), similarity=0.75),
            {
                "dedup.matched": b"similar",
                "dedup.original": b"2:30",
                "dedup.similarity": b"0.75",
            },
        ),
        (Verdict("late", late_by=301.0), {"dedup.reason": b"301"}),
        (
            Verdict("invalid", reason="json"),
            {
                "dedup.reason": b"json",
                "__connect.errors.topic": b"raw",
                "__connect.errors.partition": b"1",
                "__connect.errors.offset": b"7",
                "__connect.errors.exception.class.name": Free.TEXT,
                "__connect.errors.exception.message": Free.TEXT,
            },
        ),
    ],
)
def test_output_headers(verdict: Verdict, added: dict[str, object]) -> None:
    own: list[tuple[str, bytes | None]] = [("h", None), ("h", b"\xff")]
    place = {"dedup.topic": b"raw", "dedup.partition": b"1", "dedup.offset": b"7"}
    if verdict.kind != "unique":
        added = {"dedup.verdict": verdict.kind.encode(), **place, **added}
    found = output_headers(record({}, 1, 7, headers=own), verdict, Settings(), "raw")
    assert found[:2] == own
    assert dict(found[2:]) == added
    assert len(found) == 2 + len(added)


def test_output_line() -> None:
    assert output_line(record(b"{\r", offset=3), Verdict("invalid", reason="json")) == {
        "verdict": "invalid",
        "offset": 3,
        "reason": "json",
        "value": "{\r",
    }
    assert output_line(record(b"\xff"), Verdict("late", late_by=2.5)) == {
        "verdict": "late",
        "offset": 0,
        "reason": 2.5,
        "value_base64": "/w==",
    }
    with pytest.raises(ValueError, match="unique"):
        output_line(record(b"{}"), Verdict("unique"))


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_bad_record_has_its_reason(data: st.DataObject) -> None:
    of = data.draw(strategies.settings())
    reason = data.draw(st.sampled_from(strategies.reasons(of)))
    bad = data.draw(strategies.bad_records(of, reason))
    assert Model(of, {0}).decide(bad, now=strategies.NOW) == Verdict("invalid", reason=reason)


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.data())
def test_good_streams_have_good_records(data: st.DataObject) -> None:
    of = data.draw(strategies.settings(similar=data.draw(st.booleans())))
    stream = data.draw(strategies.streams(of, bad=False, idle=True))
    model = Model(stream.settings, stream.partitions)
    places = set()
    for step in stream.steps:
        verdict = model.decide(step.record, step.now, step.idle)
        assert verdict.reason in {None, "future"}
        assert verdict.original is None or verdict.original in places
        if verdict.kind == "unique":
            places.add((step.record.partition, step.record.offset))


@given(st.floats(-1e11, 1e11) | st.floats(allow_nan=False, allow_infinity=False), st.data())
def test_time_texts_are_exact(time: float, data: st.DataObject) -> None:
    value = json.loads(data.draw(strategies.time_texts(time)))
    assert (rfc3339(value) if isinstance(value, str) else float(value)) == time


def test_the_model_imports_nothing_of_ours() -> None:
    ours = {"flows", "operators", "connectors"}
    modules = [module for name, module in sys.modules.items() if name.startswith("tests.model")]
    origins = {
        getattr(thing, "__module__", "") for module in modules for thing in vars(module).values()
    }
    assert not {str(origin).split(".")[0] for origin in origins} & ours
