"""What librdkafka calls of a client's: `error_cb` and `logger`, as confluent_kafka has them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError

from connectors.librdkafka.library import LIBRARY, ErrorCallback, LogCallback

_LEVELS: Final = (
    *(logging.CRITICAL,) * 3,
    logging.ERROR,
    logging.WARNING,
    *(logging.INFO,) * 2,
    logging.DEBUG,
)
"""Python's level for each of syslog's, as librdkafka has them."""


class ClientCallbacks:
    """A client's `error_cb` and `logger`.  Hold on to it until the client is destroyed."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """settings: both are taken out of them, where they are."""
        logger: logging.Logger | None = settings.pop("logger", None)
        error_cb: Callable[[KafkaError], object] | None = settings.pop("error_cb", None)
        self._error, self._log = _on_error(error_cb), None
        if logger is not None:
            settings["log.queue"] = True  # else threads of librdkafka's call whenever they like
            self._log = _on_log(logger)

    def set_up(self, conf: int) -> None:
        """Add them to `rd_kafka_conf_t`."""
        LIBRARY.conf_set_error_cb(conf, self._error)
        if self._log is not None:
            LIBRARY.conf_set_log_cb(conf, self._log)

    def begin(self, handle: int) -> None:
        """Have `rd_kafka_t` call them from now on, whenever it is polled."""
        if self._log is not None:
            LIBRARY.set_log_queue(handle, None)


# They hold on to nothing but what they are given, so that a client that nobody needs any
# more goes at once.


def _on_error(error_cb: Callable[[KafkaError], object] | None) -> Any:  # noqa: ANN401 - ctypes' own
    def met(handle: int, code: int, reason: bytes, _: int) -> None:
        if error_cb is not None:
            error_cb(LIBRARY.met(handle, code, reason))

    return ErrorCallback(met)


def _on_log(logger: logging.Logger) -> Any:  # noqa: ANN401
    def log(handle: int, level: int, facility: bytes, message: bytes) -> None:
        name = LIBRARY.name(handle) if handle else b""
        parts = (LIBRARY.text(part) for part in (facility, name, message))
        logger.log(_LEVELS[level], "%s [%s] %s", *parts)

    return LogCallback(log)
