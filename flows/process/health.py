"""Whether a process is alive and ready, for probes and the status page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from confluent_kafka import KafkaException

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.watched_admin import WatchedAdmin
from connectors.shutdown import started
from flows.assembly.specs import kafka_access
from flows.launch import Launch
from flows.settings.model import Settings
from operators.lanes.placement import lanes_on
from operators.monitoring.observer import Observer

# A job that only waits for its brokers must not be killed for that.  What waits for them gives a
# sign of life between two calls, and a call takes 15 s at most.
LIVE_SECONDS = 120.0
# Before its first snapshot a process may restore its lanes, or wait while another process of
# the cluster restores its own.
RESTORE_SECONDS = 1800.0
_REQUEST_SECONDS = 2.0
# Probes and pages may ask often; the brokers are asked once in this time.
_CHECK_SECONDS = 5.0


class BrokerCheck:
    """Asks the brokers from time to time whether they answer; callable from any thread."""

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        """topic: the topic to ask about, since a list of all topics may be long."""
        self._access = access
        self._topic = topic
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._problem: str | None = None
        self._admin = WatchedAdmin(access, "health")

    def __call__(self) -> str | None:
        """Return what is wrong, None if the brokers answer."""
        with self._lock:
            asked_at = time.monotonic()
            if asked_at - self._asked >= _CHECK_SECONDS:
                try:
                    self._admin.client().list_topics(self._topic, timeout=_REQUEST_SECONDS)
                except KafkaException as error:
                    self._admin.unanswered(asked_at)
                    self._problem = f"{self._access.brokers}: {error_text(error)}"
                else:
                    self._admin.answered()
                    self._problem = None
                self._asked = time.monotonic()
            return self._problem


@dataclass(frozen=True, slots=True)
class Health:
    """Says what is wrong with a process.

    lanes: the lanes that this process decides.  brokers: says what is wrong with the brokers;
    None in the embedded mode, where the first record opens the lanes and they show no
    activity while there is none.
    """

    observer: Observer
    lanes: Collection[int] = ()
    brokers: Callable[[], str | None] | None = None

    @property
    def stage(self) -> str:
        """`waiting` for the other processes, `starting` before the first snapshot, `running`."""
        if not started.is_set():
            return "waiting"
        return "running" if self.observer.liveness.epochs else "starting"

    @property
    def is_activity_expected(self) -> bool:
        """Whether the process should read, decide or write now."""
        liveness = self.observer.liveness
        return liveness.reads or (liveness.decides and self.brokers is not None)

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last activity; 0 if none is expected."""
        return self.observer.liveness.silent_seconds if self.is_activity_expected else 0.0

    def not_alive(self) -> list[str]:
        """Return the problems that only a restart can fix."""
        silent = self.silent_seconds
        if silent < (LIVE_SECONDS if self.observer.liveness.epochs else RESTORE_SECONDS):
            return []
        return [f"nothing was read, decided or written for {silent:.0f} s"]

    def not_ready(self) -> list[str]:
        """Return the problems that keep the process from work now."""
        problems = self.not_alive()
        if not started.is_set():
            problems.append("waiting for the other processes of the cluster, or for the brokers")
        missing = sorted(set(self.lanes) - self.observer.restored_keys.keys())
        if missing:
            names = ", ".join(map(str, missing))
            problems.append(f"lanes that are not restored: {names}")
        if self.brokers is not None and (problem := self.brokers()) is not None:
            problems.append(f"the brokers do not answer: {problem}")
        return problems


def health_of(settings: Settings, launch: Launch, observer: Observer) -> Health:
    """Make the health of a process from its settings and launch options."""
    if settings.embedded:
        return Health(observer)
    return Health(
        observer,
        lanes_on(settings.lanes, launch.workers, launch.own_workers),
        BrokerCheck(kafka_access(settings), settings.input_topic),
    )
