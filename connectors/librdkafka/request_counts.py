"""Counts a client's requests and their responses by kind: librdkafka's own ones show there."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, Final

import numpy as np
from numba import types

from connectors.librdkafka.library import LIBRARY, NewCallback
from operators.columns.jit import compiled_callback

_KINDS: Final = 128


class Request(IntEnum):
    """Kinds of requests, by their API key in Kafka's protocol."""

    PRODUCE = 0
    FETCH = 1
    METADATA = 3
    END_TXN = 26


_int = types.int32
_COUNTS: Final[Any] = types.CPointer(types.int64)  # type: ignore[no-untyped-call]
_ON_REQUEST_SENT: Final = _int(
    *(types.intp, _int, types.intp, _int),  # client, socket, broker's name and id
    *(types.int16, types.int16, _int, types.uintp),  # API key, version, correlation id, size
    _COUNTS,
)
_ON_RESPONSE_RECEIVED: Final = _int(
    *(types.intp, _int, types.intp, _int),
    *(types.int16, types.int16, _int, types.uintp),
    *(types.int64, _int),  # round trip in microseconds, error
    _COUNTS,
)


def _count_request(
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


def _count_response(
    _client: int,
    _socket: int,
    _name: int,
    _broker: int,
    key: int,
    _version: int,
    _correlation: int,
    _size: int,
    _microseconds: int,
    _error: int,
    counts: Any,  # noqa: ANN401 - a pointer
) -> int:
    if 0 <= key < _KINDS:
        counts[key] += 1
    return 0


@cache
def _compiled_request() -> Any:  # noqa: ANN401 - numba's
    # Compiled: the client's threads call it without waiting for the interpreter's lock.
    return compiled_callback(_count_request, _ON_REQUEST_SENT)


@cache
def _compiled_response() -> Any:  # noqa: ANN401 - numba's
    return compiled_callback(_count_response, _ON_RESPONSE_RECEIVED)


class _Counts:
    """Counts of one client, by kind.  Keep it until the client is destroyed."""

    def __init__(self, conf: int, name: bytes, add: Any, compiled: Any) -> None:  # noqa: ANN401 - ctypes', numba's
        """conf: `rd_kafka_conf_t` that the client is made from afterwards.

        name: of the interceptor; a client takes each name once.  add: adds an interceptor to a
        client.  compiled: the callback that counts.
        """
        self._counts = np.zeros(_KINDS, np.int64)
        self._compiled = compiled
        self._on_new = _on_new(name, add, compiled.address, self._counts.ctypes.data)
        LIBRARY.conf_interceptor_add_on_new(conf, name, self._on_new, None)

    def __getitem__(self, kind: Request) -> int:
        """Return the count of a kind."""
        return int(self._counts[kind])

    @property
    def total(self) -> int:
        """The count of all kinds."""
        return int(self._counts.sum())


class RequestCounts(_Counts):
    """Counts one client's fully sent requests."""

    def __init__(self, conf: int) -> None:
        """conf: `rd_kafka_conf_t` that the client is made from afterwards."""
        add = LIBRARY.interceptor_add_on_request_sent
        super().__init__(conf, b"request-counts", add, _compiled_request())


class ResponseCounts(_Counts):
    """Counts the responses to one client; each is counted before the client reads it."""

    def __init__(self, conf: int) -> None:
        """conf: `rd_kafka_conf_t` that the client is made from afterwards."""
        add = LIBRARY.interceptor_add_on_response_received
        super().__init__(conf, b"response-counts", add, _compiled_response())


def _on_new(name: bytes, add: Any, count: int, counts: int) -> Any:  # noqa: ANN401 - ctypes' own
    def new(handle: int, _: int, __: int, ___: int, ____: int) -> int:
        added: int = add(handle, name, count, counts)
        return added

    return NewCallback(new)
