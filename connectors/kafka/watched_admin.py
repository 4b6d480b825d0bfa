"""An admin client that lives as long as the process: a silent one is replaced."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.kafka.access import KafkaAccess

log = logging.getLogger("dedup.kafka")

# As for a client that reads (client_silence.py).
_SILENT_SECONDS: Final = 30.0
_LISTING_SECONDS: Final = 1.0


class WatchedAdmin:
    """An admin client whose user says which questions got an answer; callable from any thread.

    confluent_kafka cannot name the brokers to such a client again: only a new one helps.
    """

    def __init__(
        self, access: KafkaAccess, role: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """role: names the client at the brokers.  clock: monotonic seconds."""
        self._access = access
        self._role = role
        self._clock = clock
        self._lock = Lock()
        self._client: AdminClient | None = None
        self._made_at = clock()
        self._silent_since: float | None = None

    def client(self) -> AdminClient:
        """Return the client.  Hold it until the answer is there: it may be replaced meanwhile."""
        with self._lock:
            if self._client is None:
                self._client = self._access.admin(self._role)
            return self._client

    def answered(self) -> None:
        """Note that a broker has answered."""
        self._silent_since = None

    def unanswered(self, asked_at: float) -> None:
        """Note that no broker has answered; replace the client if that is so for long.

        asked_at: when it was asked, by the clock.
        """
        with self._lock:
            if self._silent_since is None:
                # The client may have been replaced since the question.
                self._silent_since = max(asked_at, self._made_at)
            silent = self._clock() - self._silent_since
            if silent < _SILENT_SECONDS:
                return
            self._client = self._access.admin(self._role)
            self._made_at, self._silent_since = self._clock(), None
            client = self._client
        log.warning("%s: no answer for %.0f s: asking with a new client", self._role, silent)
        # What a new client asks first may get no answer, but for topics (docs/adr/0002).
        with suppress(KafkaException):
            client.list_topics(timeout=_LISTING_SECONDS)
