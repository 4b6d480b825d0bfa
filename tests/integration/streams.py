"""Inputs whose every verdict is known, and what must come out for them."""

import json
import random
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from tests.model import Free, HeaderValue, Model, Record, Settings, output_headers

_BEGIN: Final = 1_699_997_000.0  # the next tumbling hour begins 1,000 s later
_NOT_JSON: Final = (b"", b"{", b'{"event_id":', b"\xff\xfe", b"[1,", b'{"a":NaN}')
_NOT_EVENTS: Final = (b"[]", b"1", b'{"event_id":"a"}', b'{"event_id":1,"user_id":"u"}')
_KEYS: Final = (None, b"", b"k", b"\x00\xff", "schlüssel".encode(), b"k" * 40)
_HEADERS: Final[tuple[list[tuple[str, bytes | None]] | None, ...]] = (
    None,
    [("trace", b"1")],
    [("trace", b"1"), ("trace", b"2")],
    [("empty", b""), ("null", None), ("näme", b"\x00\xff")],
    [("dedup.verdict", b"of an earlier job")],
)

Output: TypeAlias = tuple[Hashable, ...]
Outputs: TypeAlias = dict[str, "Counter[Output]"]


def events(
    count: int, *, seed: int, partitions: int = 1, late: bool = False, invalid: bool = True
) -> list[Record]:
    """Make all records of a stream."""
    return list(stream(count, seed=seed, partitions=partitions, late=late, invalid=invalid))


def stream(
    count: int, *, seed: int, partitions: int = 1, late: bool = False, invalid: bool = True
) -> Iterator[Record]:
    """Make a seeded stream: a fifth repeats, a few are invalid, values are mostly small.

    late: some records lie behind the watermark.  Without, no record is late whatever the order in
    which partitions are read, and a record repeats only one of its own partition: so verdicts do
    not hang on that order.  The offsets are yet to be given by the broker.
    """
    draw = random.Random(seed)
    # Kafka's own time: not so old that retention could take the record away.
    now_ms = int(time.time() * 1000) - 10 * min(count, 100_000)
    for index in range(count):
        began = _BEGIN + index * 3000 / count
        number = index if draw.random() >= 0.25 else draw.randrange(max(index, 1))
        event_time = began - draw.uniform(0, 250)
        if late and draw.random() < 0.05:
            event_time = began - draw.uniform(400, 2000)
        value: bytes | None = _value(f"e-{seed}-{number}", round(event_time, 3), draw)
        if invalid and draw.random() < 0.04:
            value = _invalid(draw, f"i-{index}")
        yield Record(
            partition=number % partitions,
            offset=-1,
            key=draw.choice(_KEYS),
            value=value,
            headers=draw.choice(_HEADERS),
            timestamp_ms=now_ms + index * 10 + draw.randrange(10),
        )


def _value(event_id: str, event_time: float, draw: random.Random) -> bytes:
    event = {
        "event_id": event_id,
        "user_id": f"user-{draw.randrange(100)}",
        "event_type": draw.choice(("created", "paid", "shipped")),
        "timestamp": event_time,
        "data": {"text": "äöü", "number": draw.random(), "fill": "x" * draw.randrange(60)},
        "nonce": draw.getrandbits(64),  # so that no two records are alike, duplicates neither
    }
    return json.dumps(
        event, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, 1))
    ).encode()


def _invalid(draw: random.Random, event_id: str) -> bytes | None:
    event = {"event_id": event_id, "user_id": "u", "event_type": "t", "timestamp": 0, "data": {}}
    timestamp: str | float = draw.choice(("yesterday", time.time() + 90_000))
    return draw.choice(
        (
            None,
            draw.choice(_NOT_JSON),
            draw.choice(_NOT_EVENTS),
            json.dumps({**event, "timestamp": timestamp}).encode(),
        )
    )


def event_id_of(value: bytes | None) -> str:
    """Event id of an event; the empty string for what is not one."""
    try:
        event = json.loads(value or b"")
    except ValueError:
        return ""
    found = event.get("event_id", "") if isinstance(event, dict) else ""
    return found if isinstance(found, str) else ""


def expected(
    records: Sequence[Record], topic: str, partitions: int, settings: Settings | None = None
) -> Outputs:
    """Verdict → outputs, as the model has them for records in the order in which they are given."""
    model = Model(settings or Settings(), range(partitions))
    return _expected(((record, model) for record in records), topic)


def expected_in_any_order(records: Iterable[Record], topic: str) -> Outputs:
    """The same for a long stream without late records: events of different ids never meet."""
    models: dict[str, Model] = {}
    return _expected(
        (
            (record, models.setdefault(event_id_of(record.value), Model(Settings(), [0])))
            for record in records
        ),
        topic,
    )


def _expected(decided: Iterable[tuple[Record, Model]], topic: str) -> Outputs:
    found: Outputs = {kind: Counter() for kind in ("unique", "duplicate", "late", "invalid")}
    now = time.time()
    for record, model in decided:
        model.partitions.add(record.partition)
        verdict = model.decide(record, now)
        headers = output_headers(record, verdict, model.settings, topic)
        found[verdict.kind][_output(record, headers, len(record.headers or []))] += 1
    return found


def outputs(read: Mapping[str, Iterable[Record]]) -> Outputs:
    """Verdict → outputs, of what was read from the output topics.

    Kafka's id of the input topic is left out: the model does not know it.
    """
    return {
        verdict: Counter(_read(record, verdict) for record in records)
        for verdict, records in read.items()
    }


def _read(record: Record, verdict: str) -> Output:
    headers, own = record.headers or [], _own_headers(record, verdict)
    added = [header for header in headers[own:] if header[0] != "dedup.topic.id"]
    if verdict != "unique":
        assert len(added) == len(headers) - own - 1, "one header with the id"
    return _output(record, [*headers[:own], *added], own)


def assert_same(found: Outputs, wanted: Outputs) -> None:
    """Fail, showing a few of each, if outputs are missing or ought not to be there."""
    missing = _differences(wanted, found)
    extra = _differences(found, wanted)
    assert not missing, f"missing:\n{missing}\ninstead there is:\n{extra}"
    assert not extra, f"not wanted:\n{extra}"


def _differences(these: Outputs, those: Outputs) -> str:
    lines = []
    for verdict, counter in these.items():
        more = counter - those[verdict]
        lines += [f"{verdict} ({more.total()} such): {output}" for output in list(more)[:3]]
    return "\n".join(lines)


def _own_headers(record: Record, verdict: str) -> int:
    """How many of the headers are the input record's: ours are added behind them."""
    headers = record.headers or []
    if verdict == "unique":
        return len(headers)
    # The last one of the name: an input record may have had one of an earlier job.
    added = [place for place, (name, _) in enumerate(headers) if name == "dedup.verdict"]
    return added[-1] if added else len(headers)


def _output(record: Record, headers: Sequence[tuple[str, HeaderValue]], own: int) -> Output:
    """Everything that must be equal: the headers that were added may be in any order."""
    added = frozenset((name, _comparable(name, value)) for name, value in headers[own:])
    assert len(added) == len(headers) - own
    return (record.key, record.value, tuple(headers[:own]), added, record.timestamp_ms)


def _comparable(name: str, value: HeaderValue) -> Hashable:
    if name.startswith("__connect.errors.exception."):
        return value is Free.TEXT or bool(value)
    if name in {"dedup.reason", "dedup.similarity"} and isinstance(value, bytes):
        try:
            return round(float(value), 6)
        except ValueError:
            return value
    return value
