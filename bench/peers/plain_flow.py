"""Deduplication as a Bytewax user writes it first: an item a record, Bytewax's own connectors.

Run with `python -m bytewax.run bench.peers.plain_flow`; `BENCH_BROKERS`,
`BENCH_INPUT`, `BENCH_UNIQUE` and `BENCH_DUPLICATE` say where.
"""

from __future__ import annotations

import os
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow

WINDOW_SECONDS = 3600.0


class _Event(msgspec.Struct):
    event_id: str
    timestamp: float


_decode = msgspec.json.Decoder(_Event).decode


def _keyed(message: Any) -> tuple[str, tuple[float, Any]]:  # noqa: ANN401 - record or error
    event = _decode(message.value)
    return event.event_id, (event.timestamp, message)


def _see(
    windows: frozenset[float] | None, item: tuple[float, Any]
) -> tuple[frozenset[float], tuple[bool, Any]]:
    time, message = item
    window = time // WINDOW_SECONDS
    seen = windows or frozenset()
    return seen | {window}, (window in seen, message)


def _message(item: tuple[str, tuple[bool, Any]]) -> KafkaSinkMessage[Any, Any]:
    message = item[1][1]
    return KafkaSinkMessage(key=message.key, value=message.value)


brokers = [os.environ["BENCH_BROKERS"]]
flow = Dataflow("plain")
messages = op.input("in", flow, KafkaSource(brokers, [os.environ["BENCH_INPUT"]], tail=False))
keyed = op.map("key", messages, _keyed)
seen = op.stateful_map("see", keyed, _see)
split = op.branch("repeat?", seen, lambda item: item[1][0])
op.output(
    "unique",
    op.map("unique_message", split.falses, _message),
    KafkaSink(brokers, os.environ["BENCH_UNIQUE"]),
)
op.output(
    "duplicate",
    op.map("duplicate_message", split.trues, _message),
    KafkaSink(brokers, os.environ["BENCH_DUPLICATE"]),
)
