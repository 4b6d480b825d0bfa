"""Corrupts generated events: each way makes them invalid for one known reason.

The reason `key` is not among them.  With the schema `event` and its default keys, a
record without its key lacks one of the five fields, so its reason is `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flows.cli.generate.events import Event, Writer
from flows.cli.generate.options import FUTURE_FROM

_EVENT_ID = re.compile(rb'"event_id":"[^"]*"')
_USER_ID = re.compile(rb'"user_id":"[^"]*",')
_TIMESTAMP = re.compile(rb'"timestamp":("[^"]*"|[0-9.]+)')
_DATA = re.compile(rb'"data":\{[^}]*\}')
# Future event times are at most this far beyond 2100.
_FUTURE_SPAN_MS = 1_000_000_000

_NOT_JSON: tuple[Callable[[bytes], bytes], ...] = (
    lambda value: value[:-9],
    lambda value: value.replace(b'"', b"'"),
    lambda value: value[:-1] + b",}",
    lambda value: value[:-3] + b'\xff"}}',
    lambda value: b"<event>" + value + b"</event>",
)
_NOT_SCHEMA: tuple[Callable[[bytes], bytes], ...] = (
    lambda value: _USER_ID.sub(b"", value),
    lambda value: _TIMESTAMP.sub(b'"timestamp":null', value),
    lambda value: _EVENT_ID.sub(b'"event_id":17', value),
    lambda value: _DATA.sub(b'"data":"none"', value),
    lambda value: b"[" + value + b"]",
)
_NOT_TIME = (
    '"yesterday"',
    '"2023-11-31T12:00:00Z"',
    '"2023-11-14 22:13:20"',
    '"1700000000"',
)


def corrupt(
    write: Writer, event: Event, kind: float, variant: float, *, tombstones: bool
) -> tuple[bytes | None, str]:
    """Corrupt an event.

    kind, variant: random numbers from [0, 1) that choose the reason and the way.
    tombstones: whether the value may be missing.  Returns the value, and the reason
    for which it is invalid.
    """
    reasons = ("json", "schema", "time", "future", "tombstone")[: 5 if tombstones else 4]
    reason = reasons[int(kind * len(reasons))]
    if reason == "tombstone":
        return None, reason
    if reason == "future":
        ahead = write.time(FUTURE_FROM * 1000 + int(variant * _FUTURE_SPAN_MS))
        return write(event, ahead).encode(), reason
    if reason == "time":
        return write(event, _NOT_TIME[int(variant * len(_NOT_TIME))]).encode(), reason
    ways = _NOT_JSON if reason == "json" else _NOT_SCHEMA
    return ways[int(variant * len(ways))](write(event).encode()), reason
