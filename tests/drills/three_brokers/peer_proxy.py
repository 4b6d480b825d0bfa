"""A proxy between brokers, which knows who connects."""

import contextlib
import socket
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from tests.drills.proxy import Proxy

_LOCAL, _REMOTE, _INODE = 1, 2, 9
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # Java's sockets are in the second


class PeerProxy(Proxy):
    """Forwards connections, but not those of blocked processes.

    Who connects is read from Linux's tables: all that comes to a port comes from one address.
    """

    def __init__(self, port: int, target: int, pids: Callable[[], Collection[int]]) -> None:
        """pids: the processes that may connect, of now."""
        super().__init__(port, target)
        self._pids = pids
        self._blocked: frozenset[int] = frozenset()
        self._sources: dict[socket.socket, int | None] = {}

    @property
    def known(self) -> bool:
        """Whether it has seen a connection."""
        return bool(self._sources)

    def block(self, pids: Iterable[int]) -> None:
        """Break the connections of processes, and let them make none."""
        self._blocked = frozenset(pids)
        with self._lock:
            known = [near for near, pid in self._sources.items() if pid in self._blocked]
        for near in known:
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Forward everything, at once."""
        self._blocked = frozenset()
        super().restore()

    def _admits(self, near: socket.socket) -> bool:
        source = owner(near.getpeername()[1], near.getsockname()[1], self._pids())
        with self._lock:
            gone = [one for one in self._sources if one.fileno() < 0]
            for one in gone:
                del self._sources[one]
            self._sources[near] = source
        return source not in self._blocked


def owner(local: int, remote: int, pids: Iterable[int]) -> int | None:
    """Return which process has the connection between two ports of this machine; None: no one."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(local, remote)}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(entry.readlink()) in wanted:
                        return pid
    return None


def _inodes(local: int, remote: int) -> Iterable[str]:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                words = line.split()
                if _port(words[_LOCAL]) == local and _port(words[_REMOTE]) == remote:
                    yield words[_INODE]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
