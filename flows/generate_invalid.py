"""How generated events are spoiled: each way gives one known reason of `invalid`.

The reason `key` is missing: with the schema `event` and its default keys a
record without its key lacks one of the five fields, which is `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flows.generate_events import Writer
from flows.generate_options import FUTURE_FROM

_TIMESTAMP = re.compile(rb'"timestamp":("[^"]*"|[0-9.]+)')
_EVENT_ID = re.compile(rb'"event_id":"[^"]*"')
_USER_ID = re.compile(rb'"user_id":"[^"]*",')
_DATA = re.compile(rb'"data":\{.*\}')
# How far beyond 2100 the clocks of future records are wrong, at most.
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
_NOT_TIME: tuple[bytes, ...] = (
    b'"timestamp":"yesterday"',
    b'"timestamp":"2023-11-31T12:00:00Z"',
    b'"timestamp":"2023-11-14 22:13:20"',
    b'"timestamp":"1700000000"',
)


def spoil(
    writer: Writer, value: bytes, draw: tuple[float, ...], *, tombstones: bool
) -> tuple[bytes | None, str]:
    """Spoil an event.

    value: an event as `Writer` wrote it.  draw: five numbers from [0, 1).  Returns
    the new value and the reason for which it is invalid.
    """
    reasons = ("json", "schema", "time", "future", "tombstone")[: 5 if tombstones else 4]
    reason = reasons[int(draw[0] * len(reasons))]
    if reason == "json":
        return _NOT_JSON[int(draw[1] * len(_NOT_JSON))](value), reason
    if reason == "schema":
        return _NOT_SCHEMA[int(draw[1] * len(_NOT_SCHEMA))](value), reason
    if reason == "time":
        return _TIMESTAMP.sub(_NOT_TIME[int(draw[1] * len(_NOT_TIME))], value), reason
    if reason == "future":
        time = writer.time(FUTURE_FROM * 1000 + int(draw[1] * _FUTURE_SPAN_MS))
        return _TIMESTAMP.sub(b'"timestamp":' + time.encode(), value), reason
    return None, reason
