"""Which sockets are a process's connections to its cluster, and when one is closed."""

import socket
from collections.abc import Iterator

import pytest

from flows.process.peers import _closed, connections


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        near = socket.create_connection(("127.0.0.1", port))
        far, _ = listener.accept()
        with near, far:
            yield near, far, port


def ends(ports: list[int], process: int) -> list[tuple[object, object]]:
    return [(one.getsockname(), one.getpeername()) for one in connections(ports, process)]


def test_one_that_was_made_to_a_process_before(
    pair: tuple[socket.socket, socket.socket, int],
) -> None:
    near, _, port = pair
    assert ends([port, 1], 1) == [(near.getsockname(), near.getpeername())]


def test_one_that_a_process_behind_has_made(
    pair: tuple[socket.socket, socket.socket, int],
) -> None:
    _, far, port = pair
    assert ends([port, 1], 0) == [(far.getsockname(), far.getpeername())]


def test_others_do_not_count(pair: tuple[socket.socket, socket.socket, int]) -> None:
    assert ends([1, 2], 1) == []


def test_closed_by_the_other_side(pair: tuple[socket.socket, socket.socket, int]) -> None:
    near, far, _ = pair
    assert not _closed(near)
    far.send(b"x")
    far.close()
    while near.recv(1, socket.MSG_PEEK) != b"x":
        pass
    assert not _closed(near)  # there is something to be read still, and it stays
    assert near.recv(1) == b"x"
    assert _closed(near)
    assert _closed(near)
