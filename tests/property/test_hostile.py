"""Hostile input: every record gets a verdict, and none costs more than its size.

What a decoder may be sent: nesting without end, numbers of millions of digits, strings of
megabytes, bytes that are no text, floods of headers.  fuzz_hostile.py goes on and on.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.batches import FILE, Batch, DecodedBatch, Records, Span
from operators.columns.header_table import Headers
from operators.decode.decoder import Decoder
from operators.decode.events import EventSpec
from operators.encode.encoder import kafka_encoder
from operators.keys.paths import parse_keys, resolve_shard
from operators.lanes.cut import cut
from tests.strategies import NOW, REASONS

LANES: Final = 4
MEGABYTE: Final = 1_000_000
LARGE: Final = 10 * MEGABYTE
# A fault of quadratic time takes minutes.  Most cost a hundredth of this; the dearest are numbers
# such as 1e300, of which each is three hundred digits in canonical form.
SECONDS_A_MEGABYTE: Final = 3.0
LONGEST_MESSAGE: Final = 1000


def spec_of(*keys: object, **more: Any) -> EventSpec:  # noqa: ANN401
    combinations = parse_keys(list(keys))
    shard = resolve_shard(combinations, frozenset({"event_id", "timestamp"}), ())
    return EventSpec(combinations, shard, lanes=LANES, **more)


SPECS: Final = {
    "event": spec_of(["event_id"]),
    "content": spec_of("content"),
    "nested": spec_of(["data.a", "user_id"], types=True),
    "headers": spec_of(["@header.h", "@key"], time="@record"),
    "open": spec_of(["id"], "content", schema="open", time="at"),
    "similar": spec_of(["event_id"], text_fields=("data",)),
}


def decode(
    spec: EventSpec, values: Sequence[bytes | None], headers: Headers = None
) -> DecodedBatch:
    """Decode values, and check that each is accepted or has a reason, and goes to a lane."""
    count = len(values)
    records = Records(
        np.arange(count),
        list(values),
        keys=[b"k"] * count,
        headers=[headers] * count,
        timestamps=np.ones(count, np.int64),
    )
    decoded = Decoder(spec)(Batch.of(Span(FILE, 0, count, NOW), records))
    invalid = decoded.decided.invalid
    for row in range(count):
        assert np.isfinite(decoded.decided.times[row]) != (row in invalid)
    for reason, message in invalid.values():
        assert reason in REASONS
        assert len(message) <= LONGEST_MESSAGE
        assert "\n" not in message
    slices = cut(decoded, LANES)
    assert sum(len(one) for one in slices) == count
    return decoded


def event(**members: str) -> bytes:
    texts = {
        "event_id": '"e"',
        "user_id": '"u"',
        "event_type": '"t"',
        "timestamp": "1",
        "data": '{"a":1}',
        "id": "1",
        "at": "1",
    } | members
    inside = ",".join(f'"{name}":{text}' for name, text in texts.items())
    return f"{{{inside}}}".encode()


def within_data(text: str) -> bytes:
    return event(data=f'{{"a":{text}}}', id=text)


KINDS: Final[dict[str, Callable[[int], bytes]]] = {
    "long string": lambda size: within_data(f'"{"x" * size}"'),
    "long string beyond ASCII": lambda size: within_data(f'"{"é" * (size // 2)}"'),
    "escapes": lambda size: within_data('"' + "\\u00e9" * (size // 6) + '"'),
    "long key": lambda size: event(event_id=f'"{"x" * size}"', id=f'"{"x" * size}"'),
    "digits": lambda size: within_data("9" * size),
    "digits of a fraction": lambda size: within_data("0." + "9" * size),
    "digits of an exponent": lambda size: within_data("1e" + "9" * size),
    "digits of a time": lambda size: event(timestamp="9" * size, at="9" * size),
    "digits of a time's fraction": lambda size: event(
        timestamp=f'"2020-01-01T00:00:00.{"9" * size}Z"', at=f'"2020-01-01T00:00:00.{"9" * size}Z"'
    ),
    "brackets without end": lambda size: b"[" * size,
    "nested lists": lambda size: within_data("[" * (size // 2) + "]" * (size // 2)),
    "nested objects": lambda size: within_data('{"a":' * (size // 6) + "1" + "}" * (size // 6)),
    "many members": lambda size: within_data(
        "{" + ",".join(f'"{number}":1' for number in range(size // 11)) + "}"
    ),
    "one member many times": lambda size: event()[:-1] + b',"event_id":"x"' * (size // 15) + b"}",
    "many numbers": lambda size: within_data("[" + ",".join(["1e300"] * (size // 6)) + "]"),
    "not UTF-8 at the end": lambda size: within_data(f'"{"x" * size}?"').replace(b"?", b"\xff"),
    "marks over one letter": lambda size: within_data('"a' + "\u0300\u0316" * (size // 4) + '"'),
    "spaces": lambda size: within_data(f'"{" x" * (size // 2)}"'),
    "a list for a string": lambda size: event(user_id=f'["{"x" * size}"]'),
    "zeros": lambda size: b"\0" * size,
    "nothing but space": lambda size: b" " * size,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_record_costs_no_more_than_its_size(kind: str) -> None:
    value = KINDS[kind](MEGABYTE)
    for name, spec in SPECS.items():
        begun = time.thread_time()

        decode(spec, [event(), value, event()])

        assert time.thread_time() - begun < SECONDS_A_MEGABYTE, name


@pytest.mark.parametrize("kind", ["long string", "digits", "nested lists", "many members"])
def test_ten_megabytes_cost_no_more_either(kind: str) -> None:
    value = KINDS[kind](LARGE)
    begun = time.thread_time()

    decode(SPECS["nested"], [value])

    assert time.thread_time() - begun < SECONDS_A_MEGABYTE * LARGE / MEGABYTE


def test_a_flood_of_headers_is_searched_once_and_passed_on() -> None:
    flood: list[tuple[str, bytes | None]] = [(f"h{number}", b"x" * 50) for number in range(20_000)]
    flood += [("h", b"first"), ("h", b"last")]
    begun = time.thread_time()

    decoded = decode(SPECS["headers"], [event(), b"{", None], flood)

    assert {row: reason for row, (reason, _) in decoded.decided.invalid.items()} == {
        1: "json",
        2: "tombstone",
    }
    assert time.thread_time() - begun < SECONDS_A_MEGABYTE
    assert kafka_encoder(["@header.h,@key"]) is not None


JSON_TEXTS: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.integers(1, 6000).map(lambda digits: 10**digits if digits < 4000 else 0),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).map(json.dumps)
MEMBERS: Final = st.dictionaries(
    st.sampled_from(["event_id", "user_id", "event_type", "timestamp", "data", "id", "at"]),
    JSON_TEXTS,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An event with members of any kind, of which some bytes are then replaced, cut or doubled."""
    value = bytearray(event(**draw(MEMBERS)))
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(value)))
        end = draw(st.integers(begin, min(len(value), begin + 8)))
        value[begin:end] = draw(st.binary(max_size=8) | st.just(bytes(value[begin:end] * 2)))
    return bytes(value)


@given(
    values=st.lists(st.none() | st.binary(max_size=60) | damaged(), min_size=1, max_size=6),
    headers=st.none() | st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary())),
)
def test_every_record_gets_a_verdict(values: list[bytes | None], headers: Headers) -> None:
    for spec in SPECS.values():
        together = decode(spec, values, headers)
        # What stands beside a record in its batch changes nothing.
        for row, value in enumerate(values):
            alone = decode(spec, [value], headers)
            assert alone.decided.invalid.get(0) == together.decided.invalid.get(row)
            if row not in together.decided.invalid:
                np.testing.assert_array_equal(alone.decided.hashes[0], together.decided.hashes[row])
