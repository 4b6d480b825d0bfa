"""A broker behind proxies that hold back a request, and hand it over when a test says so.

What brokers or clients do in such a time is as in an outage: who waits for the answer asks again.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.kafka import start_broker
from deploy.kafka.ports import free_ports

END_TXN: Final = 26
WRITE_TXN_MARKERS: Final = 27

_CHUNK: Final = 65_536
_HEAD: Final = struct.Struct(">ih")  # size of a request without the size itself, and its key
_SIZE: Final = 4


class LateRequests:
    """Forwards connections, but for one request that it holds back."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self._sockets = [self._listener]
        self._key = -1
        self._cut = False
        self._held: tuple[socket.socket, bytes] | None = None
        self.holds = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, key: int, *, cut: bool) -> None:
        """Hold the next request of a kind.  cut: whether its connection breaks on the near side."""
        self._key, self._cut = key, cut

    def release(self) -> None:
        """Hand the request over that is held, on the connection that it came by."""
        assert self._held is not None
        sink, request = self._held
        sink.sendall(request)

    def close(self) -> None:
        for one in self._sockets:
            _close(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._sockets.append(far)
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._requests, args=(near, far), daemon=True).start()
                threading.Thread(target=_answers, args=(far, near), daemon=True).start()

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = _read(near, _HEAD.size)
                size, key = _HEAD.unpack(head)
                request = head + _read(near, _SIZE + size - _HEAD.size)
                if key != self._key:
                    far.sendall(request)
                    continue
                self._key = -1
                self._held = far, request
                self.holds.set()
                if self._cut:
                    _close(near)
                    return
        if self._held is None or self._held[0] is not far:
            _close(far)


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _answers(far: socket.socket, near: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := far.recv(_CHUNK):
            with contextlib.suppress(OSError):
                near.sendall(data)
    _close(near)


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@dataclass(frozen=True)
class Late:
    """A broker whose clients, and which itself, is reached through proxies.

    address: for the clients.  clients, brokers: what is between.
    """

    address: str
    clients: LateRequests
    brokers: LateRequests


@contextmanager
def late_requests(folder: Path) -> Iterator[Late]:
    """Start a broker, Java only, that asks itself again after two seconds without an answer."""
    direct, hidden, shown, inside, inside_shown, controller = free_ports(6)
    listeners = {"PLAINTEXT": direct, "PROXIED": hidden, "INSIDE": inside}
    advertised = {"PLAINTEXT": direct, "PROXIED": shown, "INSIDE": inside_shown}
    settings = {
        "listeners": _listeners({**listeners, "CONTROLLER": controller}),
        "advertised.listeners": _listeners(advertised),
        "listener.security.protocol.map": ",".join(
            f"{name}:PLAINTEXT" for name in (*listeners, "CONTROLLER")
        ),
        "inter.broker.listener.name": "INSIDE",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "request.timeout.ms": "2000",
    }
    clients, brokers = LateRequests(shown, hidden), LateRequests(inside_shown, inside)
    try:
        with start_broker(settings=settings, data_dir=folder, port=direct):
            yield Late(f"127.0.0.1:{shown}", clients, brokers)
    finally:
        clients.close()
        brokers.close()


def _listeners(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
