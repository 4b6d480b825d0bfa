"""The other processes of a cluster: waited for at the start, and missed when they end."""

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
_FIRST_SECONDS = 3.0
_AGAIN_SECONDS = 30.0
_LOOK_SECONDS = 1.0
# Bytewax panics by itself once it writes to a process that is gone; and at the end of
# the input all processes end within moments of each other.
_GRACE_SECONDS = 8.0
_DESCRIPTORS = Path("/dev/fd")


class PeerError(DedupError):
    """Another process of the cluster has ended."""


def watch_peers(launch: Launch) -> None:
    """Say now and then that the other processes are waited for; end when one of them is gone.

    Bytewax only finds out when it writes, and one that waits for what the other was
    to do writes nothing: it would wait for ever.  A host that loses power closes no
    connection, and is not missed before something is written.
    """
    if launch.processes > 1:
        threading.Thread(target=_watch, args=(launch,), name="peers", daemon=True).start()


def _watch(launch: Launch) -> None:
    pause = _FIRST_SECONDS
    while not started.wait(pause):
        log.info(
            "process %d waits for the other %d of the cluster",
            launch.process,
            launch.processes - 1,
        )
        pause = _AGAIN_SECONDS
    ports = [int(address.rpartition(":")[2]) for address in launch.addresses]
    missed = float("inf")
    while time.monotonic() < missed + _GRACE_SECONDS:
        time.sleep(_LOOK_SECONDS)
        gone = any(map(_closed, connections(ports, launch.process)))
        missed = min(missed, time.monotonic()) if gone else float("inf")
    exit_with_error(
        PeerError(
            "another process of the cluster has ended, so this one ends too: its own message says "
            "why. Nothing is lost: restart them all"
        )
    )


def connections(ports: list[int], process: int) -> Iterator[socket.socket]:
    """Yield this process's connections to the others of its cluster, one at a time.

    ports: where each process listens.  A process has connected to those before it and
    was connected to by those after it.
    """
    for descriptor in [int(path.name) for path in _DESCRIPTORS.iterdir()]:
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            connection = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue  # closed meanwhile
        with connection, contextlib.suppress(OSError, IndexError, TypeError):
            if connection.type == socket.SOCK_STREAM and (
                connection.getpeername()[1] in ports[:process]
                or (connection.getsockname()[1] == ports[process] and connection.getpeername())
            ):
                yield connection


def _closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it; nothing is taken from it."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
