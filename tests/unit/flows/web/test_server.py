"""The web server: routes, probes, slow clients, many clients, ports in use."""

import socket
import time
from contextlib import ExitStack

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from flows.web import server
from flows.web.server import Request, Response, health_route, metrics_route, serve
from operators.errors import DedupError
from operators.monitoring.metrics import Metrics

SECONDS = 10.0


class Served:
    """A server with a few routes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.port = serve(
            0,
            {
                "/": lambda request: Response(f"query={request.query}".encode(), "text/html"),
                "/livez": health_route(lambda: self.problems),
                "/metrics": metrics_route(Metrics().registry),
                "/bug": self.bug,
            },
        )

    def bug(self, request: Request) -> Response:
        raise ValueError(request.query)

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        address = f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, address, headers=headers, timeout=SECONDS)


@pytest.fixture(scope="module")
def served() -> Served:
    return Served()


def test_a_route_gets_the_query_and_sets_the_content_type(served: Served) -> None:
    answer = served.get("/?history=1")

    assert (answer.status_code, answer.text) == (200, "query=history=1")
    assert answer.headers["Content-Type"] == "text/html"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Python" not in answer.headers["Server"]


def test_head_returns_the_length_without_the_body(served: Served) -> None:
    answer = served.get("/", "HEAD")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len("query="))


def test_an_unknown_path_is_answered_with_the_known_ones(served: Served) -> None:
    answer = served.get("/health")

    assert answer.status_code == 404
    assert "/livez" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(served: Served, method: str) -> None:
    assert served.get("/", method).status_code == 501


def test_a_probe_fails_with_the_reasons(served: Served) -> None:
    assert (served.get("/livez").status_code, served.get("/livez").text) == (200, "ok\n")
    served.problems = ["no brokers", "no lanes"]
    try:
        assert served.get("/livez").status_code == 503
        assert served.get("/livez").text == "no brokers\nno lanes\n"
    finally:
        served.problems = []


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_metrics_come_in_the_format_asked_for(served: Served, accept: str) -> None:
    answer = served.get("/metrics", Accept=accept)

    assert ("openmetrics" in answer.headers["Content-Type"]) == bool(accept)
    if not accept:
        families = text_string_to_metric_families(answer.text)
        assert "dedup_build_info" in {family.name for family in families}


def test_a_bug_is_answered_and_does_not_end_the_server(served: Served) -> None:
    assert served.get("/bug").status_code == 500
    assert served.get("/").status_code == 200


def test_a_slow_client_does_not_keep_others_waiting(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.3)
    with socket.create_connection(("127.0.0.1", served.port), SECONDS) as slow:
        slow.sendall(b"GET / HT")
        assert served.get("/").status_code == 200
        assert slow.recv(1) == b""  # The server closed it.


def test_more_clients_than_threads_are_turned_away_until_some_leave(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(server._MAX_CLIENTS):
            client = socket.create_connection(("127.0.0.1", served.port), SECONDS)
            stack.enter_context(client)
        time.sleep(0.3)
        with pytest.raises(requests.ConnectionError):
            served.get("/")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            answer = served.get("/")
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            assert answer.status_code == 200
            return
    pytest.fail("the server accepts no client any more")


def test_a_port_in_use_is_named(served: Served) -> None:
    with pytest.raises(DedupError, match=rf"port {served.port} .*DEDUP_METRICS_PORT.*in use"):
        serve(served.port, {})


def test_a_port_out_of_range_is_named() -> None:
    with pytest.raises(DedupError, match=r"65536 .*higher than 65535"):
        serve(65_536, {})
