"""A small web server for metrics, probes and the status page."""

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

# The server drops a client that has not sent its whole request within this time, or has not
# read the response within as long again.
_CLIENT_SECONDS = 10.0
# Prometheus, two probes and some open pages.  Each client has a thread: too many would take
# processor time from the workers.
_MAX_CLIENTS = 32
# Reserved for clients on this machine, as a container's probes are.
_RESERVED_CLIENTS = 2
_MAX_PORT = 65_535
# The page needs nothing from other hosts; this forbids browsers to ask them.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Response:
    """The answer of a route.  kind: the content type."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Request:
    """The request of a client.  query: the text after `?`.  accept: its `Accept` header."""

    query: str
    accept: str


Route = Callable[[Request], Response]


def metrics_route(registry: CollectorRegistry) -> Route:
    """Make the route of `/metrics`; it answers in the format that the scraper asks for."""

    def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.accept)
        return Response(encode(registry), kind)

    return metrics


def health_route(problems: Callable[[], list[str]]) -> Route:
    """Make the route of a probe: 200 without problems, else 503 and a line for each problem."""

    def health(request: Request) -> Response:
        del request
        lines = problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if lines else HTTPStatus.OK
        return Response(("\n".join(lines or ["ok"]) + "\n").encode(), status=status)

    return health


def _is_local(host: str) -> bool:
    return ip_address(host).is_loopback


class _Server(ThreadingHTTPServer):
    """Serves each client in a thread, up to `_MAX_CLIENTS`; closes further connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self._clients = 0
        self._clients_lock = threading.Lock()
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the DNS for this host's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "dedup", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's
        """Start a thread for a client unless there are too many."""
        reserved = 0 if _is_local(client_address[0]) else _RESERVED_CLIENTS
        with self._clients_lock:
            accepted = self._clients < _MAX_CLIENTS - reserved
            self._clients += accepted
        if not accepted:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # The system has no thread left.
            self._client_left()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a client in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._client_left()

    def _client_left(self) -> None:
        with self._clients_lock:
            self._clients -= 1

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:  # noqa: ANN401
        """Log at debug level: the client went away.  Bugs were answered with 500 before."""
        del request
        log.debug("client %s: %s", client_address, sys.exc_info()[1])


class _RequestStream(io.RawIOBase):
    """The bytes of a request, with a deadline for all of them.

    A socket's timeout applies to each read alone: a client that sends a byte now and then
    could stay for days.
    """

    def __init__(self, connection: socket, seconds: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = "the request did not arrive in time"
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
        self.rfile = io.BufferedReader(_RequestStream(self.connection, self.timeout))

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
            body = f"not found: try {', '.join(self.server.routes)}\n".encode()
            response = Response(body, status=HTTPStatus.NOT_FOUND)
        else:
            try:
                response = route(Request(address.query, self.headers.get("Accept", "")))
            except Exception:  # A bug must not look like a closed connection.
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
        """Log nothing: scrapes are frequent."""


def serve(port: int, routes: Mapping[str, Route]) -> int:
    """Serve in the background until the process ends; return the port.

    port: 0 for any free port.  routes: path → route.  Raises DedupError if the port is not
    available.
    """
    try:
        if port > _MAX_PORT:
            msg = (
                f"port {port} (DEDUP_METRICS_PORT plus the number of the process) is higher than "
                f"{_MAX_PORT}. Choose a lower one."
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
