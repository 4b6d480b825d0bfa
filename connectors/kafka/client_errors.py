"""Remembers why brokers rejected us: librdkafka tells `error_cb`; the blocked call times out."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from confluent_kafka import KafkaError, KafkaException

# librdkafka's own codes begin with _.
_REJECTIONS = frozenset((KafkaError._AUTHENTICATION, KafkaError._SSL))  # noqa: SLF001
# A broker rejects our certificate after the handshake, when librdkafka calls every error
# a transport error.
_OPENSSL = "SSL routines"
_SAYS_NOTHING = frozenset((KafkaError._ALL_BROKERS_DOWN,))  # noqa: SLF001
# A client tries again at least every ten seconds (reconnect.backoff.max.ms): the cause of an
# older error is gone.
_FRESH_SECONDS = 30.0


def is_rejected(error: KafkaError) -> bool:
    """Whether a broker refuses our password or certificate, or we refuse its certificate."""
    return error.code() in _REJECTIONS or _OPENSSL in error.str()


class LastClientError:
    """Remembers the latest error that a client met outside of any call.

    librdkafka reports a refused password or certificate to `error_cb` only.  The call that
    waits for a connection ends with a time-out, which does not say why.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that never go back."""
        self._clock = clock
        self._lock = Lock()
        self._latest: tuple[float, KafkaError] | None = None

    def add(self, error: KafkaError) -> None:
        """Remember an error.  A rejection is kept when another kind of error follows."""
        with self._lock:
            known = self._fresh()
            hides_rejection = known is not None and is_rejected(known) and not is_rejected(error)
            if error.code() not in _SAYS_NOTHING and not hides_rejection:
                self._latest = self._clock(), error

    def latest(self) -> KafkaError | None:
        """Return the latest error, None if the last 30 s had none."""
        with self._lock:
            return self._fresh()

    @property
    def is_rejection(self) -> bool:
        """Whether the latest error is a refused password or certificate."""
        latest = self.latest()
        return latest is not None and is_rejected(latest)

    def _fresh(self) -> KafkaError | None:
        if self._latest is None or self._clock() - self._latest[0] > _FRESH_SECONDS:
            return None
        return self._latest[1]


def error_text(error: object) -> str:
    """Return Kafka's message of an error, in one line without a full stop."""
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return (cause.str() if isinstance(cause, KafkaError) else str(cause)).rstrip(".")
