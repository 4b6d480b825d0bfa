"""Hypothesis strategies: settings, and streams of records in which every verdict is common.

Events have few distinct values, so that they repeat; their times lie around the borders of windows
and of lateness; equal values are written in different ways.  Left out is what docs/reference
leaves open: lone surrogates, and nesting of depths that some parsers take and others do not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Final, Literal, TypeAlias

from hypothesis import strategies as st

from tests.model import Keys, Record, Settings

Window: TypeAlias = Literal["tumbling", "sliding", "session", "forever"]
Shard: TypeAlias = "tuple[str, ...] | Literal['@key'] | None"

NOW: Final = 1_700_000_000.0
REASONS: Final = ("tombstone", "json", "schema", "key", "time", "future")
WINDOWS: Final[tuple[Window, ...]] = ("tumbling", "sliding", "session", "forever")

# Each with the shard settings that go with it: None where the combinations share a field.
_KEYS: Final[list[tuple[Keys, list[Shard]]]] = [
    ((("event_id",),), [None, ()]),
    (("content",), [None, ("user_id",)]),
    ((("data.session",),), [None, ("data.session",)]),
    ((("user_id", "data.session"),), [None, ("user_id",)]),
    ((("data.deep.er.id", "event_id"),), [None]),
    ((("@key",),), [None, "@key"]),
    ((("@header.source", "user_id"),), [None, ("@header.source",)]),
    ((("event_id",), ("user_id", "data.session")), [()]),
    ((("user_id", "event_id"), ("user_id", "event_type"), "content"), [None, ("user_id",)]),
    ((("event_id",), "content"), [()]),
]
_STRINGS: Final = ['"a"', r'"\u0061"', '"b"', '"1"', '"a,b"', '""']
_VALUES: Final = [
    *_STRINGS,
    *("1", "1.0", "1e0", "10E-1", "0", "-0", "-0.0", "0.5", "5e-1", "true", "false", "null"),
    *("9007199254740992", "9007199254740993", "9007199254740993.0", "9" * 40, "9" * 40 + ".0"),
    *('"é"', '"e\u0301"', '"😀"', r'"\ud83d\uDE00"', "[]", "[1,2]", "[1.0,2]", "[2,1]", "{}"),
    *('{"a":1,"b":2}', '{"b":2e0,"a":1.0}', '{"a":0,"a":1,"b":2}', '{"a":"1","b":2}'),
]
_TEXTS: Final = [
    '"the quick brown fox jumps over the lazy dog"',
    '"the quick\\t \\u00a0brown fox jumps over the lazy dog"',
    '"the quick brown fox jumps over a lazy dog"',
    '"The Quick Brown Fox"',
    '"na\\u00efve"',
    '"nai\\u0308ve"',
    '"no"',
    '""',
    "3.50",
]
_LARGEST_RECORD_TIME: Final = 9e15  # in milliseconds still an int64
_HEADERS: Final[list[list[tuple[str, bytes | None]]]] = [
    [("source", b"a")],
    [("source", b"b"), ("other", None)],
    [("source", None), ("source", b"a")],
]
_NOT_JSON: Final = [
    *(
        b"",
        b" ",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b"{} {}",
        b"nul",
        b"True",
        b"01",
        b"+1",
        b"1.",
        b".5",
    ),
    *(b"NaN", b'{"a":NaN}', b'{"a":Infinity}', b"-Infinity", b'"\x01"', b'"\\x41"', b'"\\u12"'),
    *(
        b"\xff",
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b"\xef\xbb\xbf{}",
        b"{\x00}",
        b"// no\n{}",
        b"\xa0{}",
    ),
    *('{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-le"), b"[" * 200_000),
]
_NOT_TIMES: Final = [
    *('"yesterday"', '""', '"1700000000"', "1e999", "-1e999", "1" + "0" * 400),
    *('"2023-02-29T00:00:00Z"', '"2023-01-01 00:00:00Z"', '"2023-01-01T00:00:00"'),
    *('"2023-01-01T24:00:00Z"', '"2023-01-01T12:00:60Z"', '"2023-01-01T00:00:00.Z"'),
    *('"2023-01-01T00:00Z"', '" 2023-01-01T00:00:00Z"', r'"2023-01-01T00:00:00Z\n"'),
    *('"2023-01-01T00:00:00+0100"', '"2023-01-01T00:00:00+24:00"', '"\uff12023-01-01T00:00:00Z"'),
]


@dataclass(frozen=True)
class Step:
    """A record, the wall clock when it is decided, and the other partitions that are idle then."""

    record: Record
    now: float
    idle: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Stream:
    """Records of all partitions, in the order in which they are decided."""

    settings: Settings
    partitions: tuple[int, ...]
    steps: tuple[Step, ...]


@st.composite
def settings(
    draw: st.DrawFn, *, windows: Sequence[Window] = WINDOWS, similar: bool = False
) -> Settings:
    """Draw settings that go together; similar: with near duplicates."""
    keys, shards = draw(st.sampled_from(_KEYS))
    seconds = draw(st.sampled_from([10.0, 3600.0, 1.0, 0.5]))
    drawn = Settings(
        keys=keys,
        shard_by=draw(st.sampled_from(shards)),
        # None of these takes away user_id, by which "content" is sharded above.
        content_ignore=draw(
            st.sampled_from([("event_id", "timestamp"), ("timestamp", "data"), ()]),
        ),
        time=draw(st.sampled_from(["timestamp", "timestamp", "@record", "data.at"])),
        schema=draw(st.sampled_from(["event", "open"])),
        window=draw(st.sampled_from(list(windows))),
        window_seconds=seconds,
        lateness=draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 3.0, 100.0, 100.0])) * seconds,
        max_future=draw(st.sampled_from([86400.0, 86400.0, 0.0, 1e18])),
    )
    if not similar:
        return drawn
    return replace(
        drawn,
        similarity=draw(st.sampled_from([0.5, 0.75, 0.9, 1.0])),
        similarity_metric=draw(st.sampled_from(["jaccard", "levenshtein"])),
        shingle=draw(st.sampled_from(["3c", "1c", "1w", "2w"])),
        similarity_fields=draw(
            st.sampled_from([("data",), ("data.text",), ("data.text", "event_type")])
        ),
        similarity_seconds=draw(st.sampled_from([0.0, 1.0, 2.0])) * seconds,
    )


@st.composite
def streams(
    draw: st.DrawFn,
    of: Settings,
    *,
    partitions: int = 3,
    max_records: int = 40,
    bad: bool = True,
    idle: bool = False,
) -> Stream:
    """Draw a stream for these settings.

    partitions: as many at most.  bad: with invalid records among them.  idle: partitions other than
    the record's own come and go.  Offsets rise within a partition, with gaps.
    """
    numbers = tuple(range(draw(st.integers(1, partitions))))
    origin = draw(_origins(of))
    pool = _Pool(
        strings=draw(st.lists(st.sampled_from(_STRINGS), min_size=1, max_size=3)),
        values=draw(st.lists(st.sampled_from(_VALUES), min_size=1, max_size=4)),
    )
    times = _times(of, origin, far=draw(st.integers(0, 3)) == 1)
    good = drafts(of, pool, times).flatmap(_written)
    spoilt = st.sampled_from(reasons(of)).flatmap(lambda reason: bad_records(of, reason))
    # one_of would take a strategy that is given twice for one.
    kinds = st.sampled_from([good] * 12 + [spoilt] * bad)
    records = kinds.flatmap(lambda kind: kind)
    some = st.frozensets(st.sampled_from(numbers)) if idle else st.just(frozenset[int]())
    moves = st.tuples(st.sampled_from(numbers), st.sampled_from([1, 1, 1, 2, 50]), records, some)
    next_offset = dict.fromkeys(numbers, 0)
    steps = []
    # Left alone, Hypothesis draws lists of about six.
    at_least = draw(st.sampled_from([1, max_records // 3, max_records // 2]))
    for partition, gap, record, others in draw(
        st.lists(moves, min_size=max(at_least, 1), max_size=max_records)
    ):
        placed = replace(record, partition=partition, offset=next_offset[partition])
        next_offset[partition] += gap
        steps.append(Step(placed, NOW, others - {partition}))
    return Stream(of, numbers, tuple(steps))


@dataclass
class _Pool:
    """The few JSON texts that a stream's strings and other values are taken from."""

    strings: list[str] = field(default_factory=lambda: ['"a"', '"b"'])
    values: list[str] = field(default_factory=lambda: ["1"])


@dataclass
class Draft:
    """A record before it is written: members by name, each the JSON text of its value."""

    event: dict[str, str]
    data: dict[str, str]
    key: bytes | None
    headers: list[tuple[str, bytes | None]] | None
    timestamp_ms: int | None = None


@st.composite
def drafts(draw: st.DrawFn, of: Settings, pool: _Pool, times: list[float]) -> Draft:
    """Draw a record that is not invalid (unless its time is a far one: `future`)."""
    strings, values = st.sampled_from(pool.strings), st.sampled_from(pool.values)
    names = strings if of.schema == "event" else values
    draft = Draft(
        event={
            "event_id": draw(names),
            "user_id": draw(names),
            "event_type": draw(names),
            "timestamp": "0",
        },
        data={"session": draw(values), "deep": f'{{"er":{{"id":{draw(values)}}}}}'},
        key=draw(st.sampled_from([b"a", b"b", b"\xff"])),
        headers=draw(st.sampled_from(_HEADERS)),
    )
    if of.similarity is not None:
        text = draw(st.sampled_from([*_TEXTS, None]))
        draft.data |= {} if text is None else {"text": text}
    if draw(st.integers(0, 3)) == 0:
        draft.event["more"] = draw(values)
    _set_time(draw, draft, of, draw(st.sampled_from(times)))
    return draft


def reasons(of: Settings) -> list[str]:
    """Return the reasons that a record can be invalid for with these settings."""
    possible = list(REASONS)
    if not _removable(of):
        possible.remove("key")
    if of.time == "@record" and of.max_future > _LARGEST_RECORD_TIME:
        possible.remove("future")
    return possible


@st.composite
def bad_records(draw: st.DrawFn, of: Settings, reason: str) -> Record:
    """Draw a record that is invalid for this reason, by NOW."""
    draft = draw(drafts(of, _Pool(), [0.0]))
    if reason == "tombstone":
        return replace(draw(_written(draft)), value=None)
    if reason == "json":
        return replace(draw(_written(draft)), value=draw(st.sampled_from(_NOT_JSON)))
    if reason == "schema":
        if of.schema == "open" or draw(st.booleans()):
            text = draw(st.sampled_from([b"[]", b"1", b'"{}"', b"null", b" true\n", b"[{}]"]))
            return replace(draw(_written(draft)), value=text)
        _break_schema(draw, draft)
    elif reason == "key":
        _remove(draft, draw(st.sampled_from(_removable(of))))
    elif reason == "time":
        _break_time(draw, draft, of)
    elif reason == "future":
        ahead = draw(st.sampled_from([1.0, 60.0, 1e9])) + math.ulp(NOW + of.max_future)
        _set_time(draw, draft, of, NOW + of.max_future + ahead)
    return draw(_written(draft))


def _origins(of: Settings) -> st.SearchStrategy[float]:
    seconds = of.window_seconds
    return st.sampled_from(
        [0.0, math.floor(NOW / seconds) * seconds - 20 * seconds, -1000 * seconds, -(2.0**40)]
    )


def _times(of: Settings, origin: float, *, far: bool) -> list[float]:
    """Return times at and right beside the borders of a few windows, and some far from them."""
    halves = [origin + half * of.window_seconds / 2 for half in range(-4, 6)]
    beside = [half + by for half in halves for by in (0.0, 0.0, 1 / 8, -1 / 8, -of.lateness)]
    distant = [-1e18, -1e300, -1.5, NOW, NOW + of.max_future, 1e17, 1e300]
    return beside + distant if far else beside


def _set_time(draw: st.DrawFn, draft: Draft, of: Settings, time: float) -> None:
    if of.time == "@record":
        draft.timestamp_ms = math.ceil(
            min(max(time, -_LARGEST_RECORD_TIME), _LARGEST_RECORD_TIME) * 1000
        )
    elif of.time == "timestamp":
        draft.event["timestamp"] = draw(time_texts(time))
    else:
        draft.data["at"] = draw(time_texts(time))


def time_texts(time: float) -> st.SearchStrategy[str]:
    """JSON texts of exactly this time: as a number, and in RFC 3339 where that can write it."""
    exact = Decimal(time + 0.0)  # for RFC 3339, a zero without its sign
    numbers = [repr(time), f"{exact:E}", f"{exact:f}"]
    first, last = -62135596800 + 86400, 253402300799 - 86400  # a day off for the zones
    if not first <= time <= last:
        return st.sampled_from(numbers)
    whole = math.floor(time)
    with localcontext(Context(prec=1100)):  # a double has up to 1074 digits after the point
        fraction = format(exact - whole, "f")[1:]
    texts = []
    for minutes in (0, 90, -720):
        hours = f"{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
        zone = ("-" if minutes < 0 else "+") + hours
        texts.append(_local(whole, minutes) + fraction + zone)
        if whole % 86400 == 0:  # as a leap second
            texts.append(_local(whole - 1, minutes)[:-2] + "60" + fraction + zone)
    texts.append(_local(whole, 0) + (fraction or ".") + "000Z")
    texts.append((_local(whole, 0) + fraction + "z").replace("T", "t"))
    return st.sampled_from([*numbers, *[f'"{text}"' for text in texts]])


def _local(whole: int, minutes: int) -> str:
    moment = datetime(1970, 1, 1) + timedelta(seconds=whole, minutes=minutes)  # noqa: DTZ001 (local)
    return moment.isoformat()


def _break_schema(draw: st.DrawFn, draft: Draft) -> None:
    name = draw(st.sampled_from(["event_id", "user_id", "event_type", "timestamp", "data"]))
    if draw(st.booleans()):
        draft.event[name] = draw(st.sampled_from(["null", "true", "[]"]))
    elif name == "data":
        draft.event["data"] = draw(st.sampled_from(['"{}"', "1"]))
    else:
        del draft.event[name]
        draft.event["Event_id"] = '"a"'


def _removable(of: Settings) -> list[str]:
    """Fields of combinations that can be missing without the record being of reason `schema`."""
    paths = [path for keys in of.keys if keys != "content" for path in keys]
    fixed = ("event_id", "user_id", "event_type")
    return [path for path in paths if of.schema == "open" or path not in fixed]


def _remove(draft: Draft, path: str) -> None:
    if path == "@key":
        draft.key = None
    elif path.startswith("@header."):
        draft.headers = [("Source", b"a")]
    elif path.startswith("data."):
        del draft.data[path.split(".")[1]]
    else:
        del draft.event[path]


def _break_time(draw: st.DrawFn, draft: Draft, of: Settings) -> None:
    if of.time == "@record":
        draft.timestamp_ms = None
    elif of.time == "timestamp":
        draft.event["timestamp"] = draw(st.sampled_from(_NOT_TIMES))
    elif draw(st.booleans()):
        draft.data["at"] = draw(st.sampled_from(_NOT_TIMES))
    else:
        draft.data.pop("at", None)


@st.composite
def _written(draw: st.DrawFn, draft: Draft) -> Record:
    """Draw one way of writing a draft: order of members, white space, a name that repeats."""
    data = ",".join(f'"{name}":{text}' for name, text in draft.data.items())
    members = list({"data": f"{{{data}}}", **draft.event}.items())
    # One number for all choices: a stream has many records, and each draw costs time.
    style, turn = divmod(draw(st.integers(0, 8 * 9 * len(members) - 1)), len(members))
    members = members[turn:] + members[:turn]
    repeated, style = divmod(style, 9)
    if repeated == 1:
        members.insert(0, (members[-1][0], '"an earlier one"'))
    comma = (",", " , ", ",\t")[style % 3]
    end = ("}", "} ", "\r}\r")[style // 3]
    text = "{" + comma.join(f'"{name}":{text}' for name, text in members) + end
    return Record(0, 0, draft.key, text.encode(), draft.headers, draft.timestamp_ms)
