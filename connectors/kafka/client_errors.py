"""Why the brokers do not let us in: what their clients say of it while calls only time out."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from confluent_kafka import KafkaError, KafkaException

# librdkafka's own codes begin with _.
_SHUT_OUT = frozenset((KafkaError._AUTHENTICATION, KafkaError._SSL))  # noqa: SLF001
# A broker that will not have our certificate says so after the handshake, when
# librdkafka calls whatever happens a transport error.
_OPENSSL = "SSL routines"
_SAYS_NOTHING = frozenset((KafkaError._ALL_BROKERS_DOWN,))  # noqa: SLF001
# A client tries again at least every ten seconds (reconnect.backoff.max.ms): what is
# older has been overcome.
_FRESH_SECONDS = 30.0


def is_rejected(error: KafkaError) -> bool:
    """Whether a broker refuses our password or certificate, or we its certificate."""
    return error.code() in _SHUT_OUT or _OPENSSL in error.str()


class LastClientError:
    """Remembers the latest error that a client met outside of any call.

    A refused password or certificate is told to a client's `error_cb` only; the call
    that waited for a connection ends with a time-out, which says nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that never go back."""
        self._clock = clock
        self._lock = Lock()
        self._latest: tuple[float, KafkaError] | None = None

    def add(self, error: KafkaError) -> None:
        """Take note of an error.  A reason to be shut out is not displaced by lesser ones."""
        with self._lock:
            known = self._fresh()
            lesser = known is not None and is_rejected(known) and not is_rejected(error)
            if error.code() not in _SAYS_NOTHING and not lesser:
                self._latest = self._clock(), error

    def latest(self) -> KafkaError | None:
        """The latest error, None if there was none of late."""
        with self._lock:
            return self._fresh()

    @property
    def shut_out(self) -> bool:
        """Whether a broker refused our password or certificate, or we its certificate."""
        latest = self.latest()
        return latest is not None and is_rejected(latest)

    def _fresh(self) -> KafkaError | None:
        if self._latest is None or self._clock() - self._latest[0] > _FRESH_SECONDS:
            return None
        return self._latest[1]


def error_text(error: object) -> str:
    """What Kafka says of an error, in one line."""
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return (cause.str() if isinstance(cause, KafkaError) else str(cause)).rstrip(".")
