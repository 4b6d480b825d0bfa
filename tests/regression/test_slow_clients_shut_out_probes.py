"""Clients that sent a byte now and then kept every thread, and probes found no answer."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests

from flows.web import server
from flows.web.server import Response, serve

SECONDS = 10.0


@pytest.fixture
def port() -> int:
    return serve(0, {"/livez": lambda _: Response(b"ok\n")})


@contextmanager
def tricklers(port: int, count: int, source: str) -> Iterator[None]:
    """Clients that send a byte of a request each second."""
    done = threading.Event()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), SECONDS, source_address=(source, 0))
            )
            for _ in range(count)
        ]

        def trickle() -> None:
            while True:
                for client in list(clients):
                    try:
                        client.sendall(b"G")
                    except OSError:
                        clients.remove(client)  # it was let go
                if done.wait(1.0):
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            time.sleep(0.3)  # all have a thread
            yield
        finally:
            done.set()
            thread.join()


def probe(port: int) -> bool:
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/livez", timeout=SECONDS)
    except requests.ConnectionError:
        return False
    return answer.text == "ok\n"


def test_a_probe_is_answered_within_12_seconds(port: int) -> None:
    began = time.monotonic()
    with tricklers(port, server._MAX_CLIENTS, "127.0.0.1"):
        assert not probe(port)  # as many as there are threads
        while not probe(port):
            assert time.monotonic() - began < 12.0, "no answer beside slow clients"
            time.sleep(0.2)


def test_clients_from_elsewhere_leave_room_for_probes(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This address stands for one of another machine: tests may have no other network.
    monkeypatch.setattr(server, "_is_local", lambda host: host != "127.0.0.2")
    with tricklers(port, server._MAX_CLIENTS, "127.0.0.2"):
        for _ in range(5):
            assert probe(port)
