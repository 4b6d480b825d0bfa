"""Which sockets connect a process to its cluster, and when one is closed."""

import socket
from collections.abc import Iterator

import pytest

from flows.process.peers import _is_closed, connections


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        near = socket.create_connection(("127.0.0.1", port))
        far, _ = listener.accept()
        with near, far:
            yield near, far, port


def ends(ports: list[int], process: int) -> list[tuple[object, object]]:
    return [
        (connection.getsockname(), connection.getpeername())
        for connection in connections(ports, process)
    ]


def test_a_connection_to_an_earlier_process(
    pair: tuple[socket.socket, socket.socket, int],
) -> None:
    near, _, port = pair
    assert ends([port, 1], 1) == [(near.getsockname(), near.getpeername())]


def test_a_connection_from_a_later_process(
    pair: tuple[socket.socket, socket.socket, int],
) -> None:
    _, far, port = pair
    assert ends([port, 1], 0) == [(far.getsockname(), far.getpeername())]


def test_other_connections_do_not_count(pair: tuple[socket.socket, socket.socket, int]) -> None:
    assert ends([1, 2], 1) == []


def test_closed_by_the_other_side(pair: tuple[socket.socket, socket.socket, int]) -> None:
    near, far, _ = pair
    assert not _is_closed(near)
    far.send(b"x")
    far.close()
    while near.recv(1, socket.MSG_PEEK) != b"x":
        pass
    assert not _is_closed(near)  # a byte is still to be read, and stays so
    assert near.recv(1) == b"x"
    assert _is_closed(near)
    assert _is_closed(near)
