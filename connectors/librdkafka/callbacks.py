"""The callbacks of a client: `error_cb` and `logger`, as confluent_kafka has them."""

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
"""Python's level for each syslog level, which librdkafka logs with."""


class ClientCallbacks:
    """A client's `error_cb` and `logger`.  Keep it until the client is destroyed."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """settings: `logger` and `error_cb` are removed from them."""
        logger: logging.Logger | None = settings.pop("logger", None)
        error_cb: Callable[[KafkaError], object] | None = settings.pop("error_cb", None)
        self._error, self._log = _on_error(error_cb), None
        if logger is not None:
            settings["log.queue"] = True  # otherwise librdkafka's own threads call the logger
            self._log = _on_log(logger)

    def add_to(self, conf: int) -> None:
        """Add the callbacks to `rd_kafka_conf_t`."""
        LIBRARY.conf_set_error_cb(conf, self._error)
        if self._log is not None:
            LIBRARY.conf_set_log_cb(conf, self._log)

    def start(self, handle: int) -> None:
        """Let `rd_kafka_t` call them whenever it is polled."""
        if self._log is not None:
            LIBRARY.set_log_queue(handle, None)


# These functions hold no reference to the client: without garbage collection it is freed as
# soon as nobody uses it.


def _on_error(error_cb: Callable[[KafkaError], object] | None) -> Any:  # noqa: ANN401 - ctypes' own
    def on_error(handle: int, code: int, reason: bytes, _: int) -> None:
        if error_cb is not None:
            error_cb(LIBRARY.client_error(handle, code, reason))

    return ErrorCallback(on_error)


def _on_log(logger: logging.Logger) -> Any:  # noqa: ANN401
    def log(handle: int, level: int, facility: bytes, message: bytes) -> None:
        name = LIBRARY.name(handle) if handle else b""
        parts = (LIBRARY.text(part) for part in (facility, name, message))
        logger.log(_LEVELS[level], "%s [%s] %s", *parts)

    return LogCallback(log)
