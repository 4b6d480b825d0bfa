"""Watches the other processes of a cluster: logs the wait for them, and ends when one ends."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from connectors.shutdown import exit_with_error, started
from flows.launch import Launch
from operators.errors import DedupError

log = logging.getLogger("dedup")
_FIRST_LOG_SECONDS = 3.0
_LOG_SECONDS = 30.0
_CHECK_SECONDS = 1.0
# Bytewax itself panics when it writes to a process that is gone.  At the end of the input all
# processes end within a moment of each other.
_GRACE_SECONDS = 8.0
_DESCRIPTORS = Path("/dev/fd")


class PeerError(DedupError):
    """Another process of the cluster has ended."""


def watch_peers(launch: Launch) -> None:
    """Log that this process waits for the others; end it when one of them is gone.

    Bytewax notices that a process is gone only when it writes to it.  A process that waits for
    the other one's work writes nothing, and would wait forever.  A host that loses power closes
    no connection, so it is not missed before a write.
    """
    if launch.processes > 1:
        threading.Thread(target=_watch, args=(launch,), name="peers", daemon=True).start()


def _watch(launch: Launch) -> None:
    pause = _FIRST_LOG_SECONDS
    while not started.wait(pause):
        log.info(
            "process %d waits for the other %d of the cluster",
            launch.process,
            launch.processes - 1,
        )
        pause = _LOG_SECONDS
    ports = [int(address.rpartition(":")[2]) for address in launch.addresses]
    missed_since = float("inf")
    while time.monotonic() < missed_since + _GRACE_SECONDS:
        time.sleep(_CHECK_SECONDS)
        is_missing = any(map(_is_closed, connections(ports, launch.process)))
        missed_since = min(missed_since, time.monotonic()) if is_missing else float("inf")
    exit_with_error(
        PeerError(
            "another process of the cluster has ended, so this one ends too: its own message says "
            "why. Nothing is lost: restart them all"
        )
    )


def connections(ports: list[int], process: int) -> Iterator[socket.socket]:
    """Yield this process's connections to the others of its cluster, one at a time.

    ports: where each process listens.  A process connects to those before it; those after it
    connect to this one.
    """
    for descriptor in [int(path.name) for path in _DESCRIPTORS.iterdir()]:
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            connection = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue  # closed in the meantime
        with connection, contextlib.suppress(OSError, IndexError, TypeError):
            if connection.type == socket.SOCK_STREAM and (
                connection.getpeername()[1] in ports[:process]
                or (connection.getsockname()[1] == ports[process] and connection.getpeername())
            ):
                yield connection


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection; reads no byte from it."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
