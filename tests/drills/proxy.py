"""A TCP proxy that can be slow, silent, or gone."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from deploy.kafka.scoped import Scoped

_CHUNK: Final = 65_536
_POLL_SECONDS: Final = 0.2

Filter: TypeAlias = Callable[[bytes], bytes]
"""Takes what has come on one side of a connection; returns what goes out on the other side."""


class Proxy(Scoped):
    """Forwards connections from one port of 127.0.0.1 to another."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._delay_seconds = 0.0

    def begin(self) -> None:
        """Take connections."""
        self.restore()

    def end(self) -> None:
        """Break all connections and take no more."""
        self.cut()
        self._open.set()

    def slow(self, delay_seconds: float) -> None:
        """Hold back every piece of data for so long."""
        self._delay_seconds = delay_seconds

    def stall(self) -> None:
        """Forward nothing, and keep connections open: what a broken route looks like."""
        self._open.clear()

    def cut(self) -> None:
        """Break all connections and take no more."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._connections)
        if listener is not None:
            listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Forward everything, at once."""
        self._delay_seconds = 0.0
        self._open.set()
        if self._listener is None:
            listener = socket.create_server(("127.0.0.1", self._port))
            listener.settimeout(_POLL_SECONDS)
            self._listener = listener
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                near, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._admits(near):
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            near.settimeout(None)
            with self._lock:
                self._connections |= {near, far}
            there, back = self._filters()
            for pump in ((near, far, there), (far, near, back)):
                threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _admits(self, near: socket.socket) -> bool:
        """Whether a connection may be made."""
        del near
        return True

    def _filters(self) -> tuple[Filter, Filter]:
        """Return what requests and responses of one connection pass through."""
        return bytes, bytes

    def _pump(self, source: socket.socket, sink: socket.socket, through: Filter) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._open.wait()
                if self._delay_seconds:
                    time.sleep(self._delay_seconds)
                sink.sendall(through(data))
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._connections.discard(source)
        source.close()
