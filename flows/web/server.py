"""The small web server of a process: metrics for Prometheus, health, the status page."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import socket
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from operators.errors import DedupError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger("dedup.serving")

# A client that has not sent its whole request by then is let go, and so is one that
# has not taken its answer in as long again.
_CLIENT_SECONDS = 10.0
# Prometheus, two probes and some open pages; a flood of connections must not
# become a flood of threads beside the workers.
_MOST_CLIENTS = 32
# Of these, kept for clients on this machine: the probes of a container come from there.
_KEPT_CLIENTS = 2
_HIGHEST_PORT = 65_535
# The page is whole in itself: a browser that honours this asks nobody else.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Response:
    """What a route answers.  kind: the content type."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.  query: what follows `?`.  accept: the formats it takes."""

    query: str
    accept: str


Route = Callable[[Request], Response]


def metrics_route(registry: CollectorRegistry) -> Route:
    """Make `/metrics`, in the format that the scraper asks for."""

    def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.accept)
        return Response(encode(registry), kind)

    return metrics


def health_route(problems: Callable[[], list[str]]) -> Route:
    """Make a probe: 200 while there are no problems, else 503 and the problems, one a line."""

    def health(request: Request) -> Response:
        del request
        found = problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        return Response(("\n".join(found or ["ok"]) + "\n").encode(), status=status)

    return health


def _is_local(host: str) -> bool:
    return ip_address(host).is_loopback


class _Server(ThreadingHTTPServer):
    """One thread a client, up to a number; the next ones are turned away."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self._clients = 0
        self._counting = threading.Lock()
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the DNS for our own name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "dedup", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Begin a thread for a client if there is one left."""
        kept = 0 if _is_local(client_address[0]) else _KEPT_CLIENTS
        with self._counting:
            served = self._clients < _MOST_CLIENTS - kept
            self._clients += served
        if not served:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be had
            self._client_left()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a client in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._client_left()

    def _client_left(self) -> None:
        with self._counting:
            self._clients -= 1

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:  # noqa: ANN401
        """A client that goes away is no news; a bug of ours has been answered with 500."""
        del request
        log.debug("client %s: %s", client_address, sys.exc_info()[1])


class _Request(io.RawIOBase):
    """What a client sends, as long as it is whole within some seconds.

    A timeout of the socket alone is one for each read: a client that sends a byte now
    and then could stay for days.
    """

    def __init__(self, connection: socket, seconds: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = "the request is not whole in time"
            raise TimeoutError(msg)
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD from the server's routes."""

    server: _Server
    server_version = "dedup"
    sys_version = ""
    timeout = _CLIENT_SECONDS

    def setup(self) -> None:
        """Read with a deadline."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Request(self.connection, self.timeout))

    def do_GET(self) -> None:
        """Answer with the body."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        address = urlsplit(self.path)
        route = self.server.routes.get(address.path)
        if route is None:
            there = ", ".join(self.server.routes)
            response = Response(f"there is {there}\n".encode(), status=HTTPStatus.NOT_FOUND)
        else:
            try:
                response = route(Request(address.query, self.headers.get("Accept", "")))
            except Exception:  # a bug, which must not end in a closed connection
                log.exception("cannot answer %s", address.path)
                response = Response(b"see the log\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)
        self.connection.settimeout(self.timeout)
        self.send_response(response.status)
        self.send_header("Content-Type", response.kind)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _PAGE_POLICY)
        self.end_headers()
        if with_body:
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing: scrapes are not news."""


def serve(port: int, routes: Mapping[str, Route]) -> int:
    """Serve in threads of its own until the process ends; return the port.

    port: 0 for any that is free.  routes: path → what answers it.  Raises
    DedupError if the port cannot be had.
    """
    try:
        if port > _HIGHEST_PORT:
            msg = (
                f"port {port} (DEDUP_METRICS_PORT plus the number of the process) is higher than "
                f"{_HIGHEST_PORT}. Choose a lower one."
            )
            raise DedupError(msg)
        server = _Server(port, routes)
    except OSError as error:
        msg = (
            f"cannot listen on port {port} (DEDUP_METRICS_PORT plus the number of the process): "
            f"{os.strerror(error.errno or 0)}. Choose another port."
        )
        raise DedupError(msg) from error
    threading.Thread(target=server.serve_forever, name="serving", daemon=True).start()
    return server.server_port
