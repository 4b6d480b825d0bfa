"""A real Kafka broker on any developer's machine: the first of three ways that works."""

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from deploy.kafka.errors import BrokerStartError, NoBrokerError
from deploy.kafka.java import JavaServer
from deploy.kafka.ports import wait_until_ready
from deploy.kafka.scoped import Scoped

__all__ = ["Broker", "BrokerStartError", "NoBrokerError", "start_broker"]

EXTERNAL = "DEDUP_TEST_BROKERS"

# How often a broker is started that may have any port, while somebody else takes them.
_TRIES = 3
_TAKEN = ("Address already in use", "already listens on")

_WHAT_TO_DO = (
    "Install Java 17 or later and Maven (Debian: openjdk-17-jre-headless and maven), "
    "or start Docker, "
    f"or name a broker in {EXTERNAL} (host:port)."
)


class _Server(Protocol):
    bootstrap: str

    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class Broker(Scoped):
    """A broker that answers. As a context manager it is stopped at the end.

    bootstrap: `host:port,…` for clients; the same after every restart.
    kind: `external`, `docker` or `java`.

    One that was started here is gone when this process is, with its data unless `data_dir` was
    given. An external one is neither stopped nor killed.
    """

    bootstrap: str
    kind: Literal["external", "docker", "java"]
    _server: _Server | None = field(default=None, repr=False)

    def end(self) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int | None:
        """The broker's process, another one after each restart; None where it is not ours."""
        return self._server.pid if self._server else None

    def kill(self) -> None:
        """End it as kill -9 does, and wait until it is dead.

        Raises NoBrokerError for an external one.
        """
        self._ours().kill()

    def restart(self) -> None:
        """Stop cleanly if it runs, start on the same port and data, wait until it answers.

        Raises NoBrokerError for an external one, BrokerStartError if it does not come back.
        """
        server = self._ours()
        server.pause()
        server.start()

    def stop(self) -> None:
        """End it, and remove its data unless `data_dir` was given. Twice does no harm."""
        if self._server is not None:
            atexit.unregister(self._server.stop)
            self._server.stop()

    def _ours(self) -> _Server:
        if self._server is None:
            message = f"the broker of {EXTERNAL} is not ours to kill or restart"
            raise NoBrokerError(message)
        return self._server


def start_broker(
    *,
    settings: Mapping[str, str] | None = None,
    data_dir: Path | None = None,
    port: int | None = None,
    own: bool = False,
) -> Broker:
    """Return a broker that answers: the one of DEDUP_TEST_BROKERS, else Docker's, else Java's.

    settings: added to server.properties.  data_dir: where data is kept on stop (Java only);
    without one it is temporary.  port: without one, any free one.  own: never the external one,
    because it will be killed; any other argument implies it.

    Raises NoBrokerError, with what to install, when none can be had, and BrokerStartError, with
    the end of the log, when one does not come up.
    """
    external = os.environ.get(EXTERNAL)
    own = own or settings is not None or data_dir is not None or port is not None
    if external and not own:
        wait_until_ready(external, lambda: None)
        return Broker(external, "external")

    reasons = []
    if data_dir is None:
        try:
            return _start_docker(settings or {}, port)
        except NoBrokerError as error:
            reasons.append(str(error))
    try:
        return _start_java(settings or {}, data_dir, port)
    except NoBrokerError as error:
        reasons.append(str(error))
    message = f"No Kafka broker can be started here: {'; '.join(reasons)}. {_WHAT_TO_DO}"
    raise NoBrokerError(message)


def _start_docker(settings: Mapping[str, str], port: int | None) -> Broker:
    try:
        from deploy.kafka.docker import DockerServer  # noqa: PLC0415 - Java does without it
    except ImportError as error:
        message = "testcontainers is not installed"
        raise NoBrokerError(message) from error
    return _started("docker", DockerServer(settings, port))


def _start_java(settings: Mapping[str, str], data_dir: Path | None, port: int | None) -> Broker:
    tries = 1 if port is not None else _TRIES
    while True:
        tries -= 1
        try:
            return _started("java", JavaServer(settings, data_dir, port))
        except BrokerStartError as error:
            # Java takes its ports seconds after they were found free.
            if not tries or not any(taken in str(error) for taken in _TAKEN):
                raise


def _started(kind: Literal["docker", "java"], server: _Server) -> Broker:
    try:
        server.start()
    except BaseException:
        server.stop()
        raise
    atexit.register(server.stop)
    return Broker(server.bootstrap, kind, server)
