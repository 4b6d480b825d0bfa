"""Counts the requests that a client sends, by kind: librdkafka's own retries show there."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, Final

import numpy as np
from numba import types

from connectors.librdkafka.library import LIBRARY, NewCallback
from operators.columns.jit import compiled_callback

_NAME: Final = b"request-counts"
_KINDS: Final = 128


class Request(IntEnum):
    """Kinds of requests, by their API key in Kafka's protocol."""

    PRODUCE = 0
    END_TXN = 26


_int = types.int32
_ON_REQUEST_SENT: Final = _int(
    *(types.intp, _int, types.intp, _int),  # client, socket, broker's name and id
    *(types.int16, types.int16, _int, types.uintp),  # API key, version, correlation id, size
    types.CPointer(types.int64),  # type: ignore[no-untyped-call]
)


def _count(
    _client: int,
    _socket: int,
    _name: int,
    _broker: int,
    key: int,
    _version: int,
    _correlation: int,
    _size: int,
    counts: Any,  # noqa: ANN401 - a pointer
) -> int:
    if 0 <= key < _KINDS:
        counts[key] += 1
    return 0


@cache
def _compiled() -> Any:  # noqa: ANN401 - numba's
    # Compiled: the client's threads call it without waiting for the interpreter's lock.
    return compiled_callback(_count, _ON_REQUEST_SENT)


class RequestCounts:
    """Counts one client's fully sent requests.  Keep it until the client is destroyed."""

    def __init__(self, conf: int) -> None:
        """conf: `rd_kafka_conf_t` that the client is made from afterwards."""
        self._counts = np.zeros(_KINDS, np.int64)
        self._compiled = _compiled()
        self._on_new = _on_new(self._compiled.address, self._counts.ctypes.data)
        LIBRARY.conf_interceptor_add_on_new(conf, _NAME, self._on_new, None)

    def __getitem__(self, kind: Request) -> int:
        return int(self._counts[kind])


def _on_new(count: int, counts: int) -> Any:  # noqa: ANN401 - ctypes' own
    def new(handle: int, _: int, __: int, ___: int, ____: int) -> int:
        added: int = LIBRARY.interceptor_add_on_request_sent(handle, _NAME, count, counts)
        return added

    return NewCallback(new)
