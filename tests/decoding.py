"""Decodes records on the fast path and on the careful path alone, and compares both."""

from typing import Any

import numpy as np

from operators.batches import FILE, Batch, DecodedBatch, Records, Span
from operators.decode.decoder import Decoder
from operators.decode.events import EventSpec
from operators.decode.json.reader import JsonReader
from operators.keys.combination import Combination
from operators.keys.paths import parse_keys, resolve_shard
from tests.strategies import NOW

EVENT_ID = Combination(("event_id",))
EVENT = EventSpec((EVENT_ID,), EVENT_ID)


def spec_of(*keys: object, shard: tuple[str, ...] | None = None, **more: Any) -> EventSpec:  # noqa: ANN401
    combinations = parse_keys(list(keys))
    ignored = more.get("content_ignore", frozenset({"event_id", "timestamp"}))
    return EventSpec(combinations, resolve_shard(combinations, ignored, shard), **more)


def batch_of(records: Records, read_at: float = NOW) -> Batch:
    end = int(records.offsets[-1]) + 1 if len(records) else 0
    return Batch.of(Span(FILE, 0, end, read_at), records)


def careful(spec: EventSpec) -> Decoder:
    """A decoder that reads every record on the careful path."""
    decoder = Decoder(spec)
    assert isinstance(decoder._read, JsonReader)
    decoder._read._fast = None
    return decoder


def decode(spec: EventSpec, *values: bytes | None, **more: Any) -> DecodedBatch:  # noqa: ANN401
    """Decode values on both paths, compare, and return the answer."""
    records = Records(np.arange(len(values)), list(values), **more)
    return both_ways(spec, batch_of(records))


def both_ways(spec: EventSpec, batch: Batch) -> DecodedBatch:
    fast, slow = Decoder(spec)(batch), careful(spec)(batch)
    assert reasons(fast) == reasons(slow)
    valid = ~np.isnan(slow.decided.times)
    one_type, other_type = fast.decided.types, slow.decided.types
    assert (one_type and one_type.tolist()) == (other_type and other_type.tolist())
    for name in ("times", "running_max", "hashes", "shards", "texts"):
        column, expected = getattr(fast.decided, name), getattr(slow.decided, name)
        assert (column is None) == (expected is None)
        if column is not None:
            assert column.dtype == expected.dtype
            rows = valid if name in ("hashes", "shards") else slice(None)
            np.testing.assert_array_equal(column[rows], expected[rows], name)
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


OPEN = spec_of(["id"], time="at", schema="open")
