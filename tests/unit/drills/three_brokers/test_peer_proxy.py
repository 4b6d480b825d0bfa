"""The proxy between brokers tells apart who connects, and keeps out who is blocked."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.kafka.ports import free_ports
from tests.drills.three_brokers.peer_proxy import PeerProxy, owner

_ASK = """
import socket, sys
line = sys.stdin.readline
while line():
    try:
        with socket.create_connection(("127.0.0.1", {port}), 5) as one:
            one.settimeout(5)
            one.sendall(b"?")
            print(one.recv(1).decode() or "none", flush=True)
    except OSError as error:
        print("none", flush=True)
"""


@contextmanager
def echo() -> Iterator[int]:
    """Something that answers all that is said; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                with one:
                    one.sendall(one.recv(1))

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def asker(port: int) -> Iterator[subprocess.Popen[str]]:
    """A process that connects once for every line."""
    with subprocess.Popen(
        [sys.executable, "-c", _ASK.format(port=port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.communicate()


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_one_of_two_processes_is_blocked() -> None:
    [port] = free_ports(1)
    with (
        echo() as target,
        asker(port) as first,
        asker(port) as second,
        PeerProxy(port, target, lambda: [first.pid, second.pid]) as proxy,
    ):
        assert (ask(first), ask(second)) == ("?", "?")
        proxy.block([first.pid])
        assert (ask(first), ask(second)) == ("none", "?")
        proxy.restore()
        assert (ask(first), ask(second)) == ("?", "?")


def test_a_connection_that_was_made_before_is_broken() -> None:
    [port] = free_ports(1)
    with (
        echo() as target,
        PeerProxy(port, target, lambda: [os.getpid()]) as proxy,
        socket.create_connection(("127.0.0.1", port), 5) as one,
    ):
        one.settimeout(5)
        while not proxy.known:  # it is taken in another thread
            time.sleep(0.01)
        proxy.block([os.getpid()])
        assert one.recv(1) == b""


def test_who_has_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as one:
            own = one.getsockname()[1]
            assert owner(own, port, [os.getpid()]) == os.getpid()
            assert owner(own, port, [os.getppid()]) is None
            assert owner(own, port + 1, [os.getpid()]) is None
