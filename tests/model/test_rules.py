"""The model against the text of docs/reference: borders, one line each."""

from dataclasses import replace
from typing import Any

import pytest

from tests.model import (
    Model,
    Settings,
    Verdict,
    canonical,
    parse,
)
from tests.model.builders import NOW, OPEN, decided, record, verdicts


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
