"""`dedup status`: one report and several, as lines, as JSON, live."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from flows.cli import app
from flows.web.server import Request, Response, serve
from tests.status_reports import input_of, report

Status = Callable[..., tuple[int, str, str]]
SECONDS = 30.0


def serving(process: dict[str, Any]) -> str:
    """Serve a process's report; return the URL."""

    def status(request: Request) -> Response:
        answer = process if "history" in request.query else process | {"history": None}
        return Response(json.dumps(answer).encode(), "application/json")

    return f"http://127.0.0.1:{serve(0, {'/status': status})}"


@pytest.fixture
def status(capsys: pytest.CaptureFixture[str]) -> Status:
    def call(*words: str) -> tuple[int, str, str]:
        code = app.main(["status", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_lines_say_what_the_page_says(status: Status) -> None:
    code, out, _ = status("--url", serving(report()))

    assert code == 0
    lines = [re.sub(r" +", " ", line).strip() for line in out.splitlines()]
    assert lines[:9] == [
        (
            "orders <script>alert(1)</script>: running, 1 of 1 processes ready; reads raw-events; "
            "up 67 min; version 0.1.0"
        ),
        "throughput 2,512 records/s",
        (
            "verdicts unique 86,000 (86.0%), duplicate 12,000 (12.0%), late 1,500 (1.5%), "
            "invalid 500 (0.5%)"
        ),
        "duplicates event_id 11,000, content 1,000",
        (
            "input lag 1,251 records (raw-events/1: 1,234, raw-events/2: 17), "
            "unknown for 1 of 4 partitions"
        ),
        "watermark 42 s behind the wall clock",
        "keys held 16,000, about 3.1 MiB; 4,000 restored at the start",
        "commits 990, 34 ms each; last snapshot 1.5 s ago",
        "evictions 321 keys: the guarantee is weakened (max_keys 321)",
    ]
    assert lines[10:16] == [
        "topic partition not read state event time",
        "raw-events 4 unknown unreachable unknown",
        "raw-events 1 1,234 read 42 s ago",
        "raw-events 2 17 read 42 s ago",
        "raw-events 0 0 idle 42 s ago",
        "",
    ]
    assert lines[16:18] == [
        "lane process records keys memory watermark lag restored",
        "0 1 25,000 4,000 793 KiB 42 s 1,000",
    ]
    assert lines[21:] == [
        "",
        "hot key recent duplicates example lane",
        "event_id about 4,321 1:57 2",
        "content about 12 0:9 0",
    ]


def test_processes_are_added_up(status: Status) -> None:
    other = report(process=0, inputs=[input_of(3, 5)], lanes=[], watermark_lag_seconds=None)
    code, out, _ = status("--url", serving(report()), "--url", serving(other))

    assert code == 0
    assert "2 of 2 processes ready" in out
    assert "5,025 records/s" in out
    assert (
        "1,256 records (raw-events/1: 1,234, raw-events/2: 17, raw-events/3: 5), unknown for 1 of 5"
    ) in out
    assert "42 s behind" in out  # a process without lanes knows of no watermark


def test_a_process_that_does_not_answer_is_named_and_not_well(status: Status) -> None:
    code, out, _ = status("--url", serving(report()), "--url", "127.0.0.1:1")

    assert code == 1
    assert "1 of 2 processes ready" in out
    assert "http://127.0.0.1:1 does not answer: " in out


def test_a_process_that_is_not_ready_is_not_well(status: Status) -> None:
    broken = report(ready=False, problems=["lanes that are not restored: 1"])
    code, out, _ = status("--url", serving(broken))

    assert code == 1
    assert "0 of 1 processes ready" in out
    assert "process 1: lanes that are not restored: 1" in out


def test_json_is_the_reports(status: Status) -> None:
    process = report(history=None)
    code, out, err = status("--json", "--url", serving(process), "--url", "http://127.0.0.1:1")

    assert (code, json.loads(out)) == (1, [process])
    assert err.startswith("http://127.0.0.1:1 does not answer")


def test_ports_come_from_the_settings(status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(serving(report()).rpartition(":")[2])
    monkeypatch.setenv("DEDUP_METRICS_PORT", str(port))

    assert status()[0] == 0
    monkeypatch.setenv("DEDUP_METRICS_PORT", str(port - 1))
    code, out, _ = status("--processes=2", "--json")
    assert [answer["process"] for answer in json.loads(out)][-1] == 1
    assert code in (0, 1)  # something else may listen on the port before


def test_without_a_port_the_processes_must_be_named(
    status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEDUP_METRICS_PORT", raising=False)
    code, _, err = status()

    assert (code, err.count("\n")) == (2, 1)
    assert "DEDUP_METRICS_PORT is not set" in err


@pytest.mark.parametrize("url", ["ftp://host:1", "http://", "host:port", "http://h:99999"])
def test_what_is_no_address_is_refused(status: Status, url: str) -> None:
    code, _, err = status("--url", url)

    assert code == 2
    assert err == f"dedup: --url {url}: write http://HOST:PORT\n"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"a": 1}'])
def test_another_server_is_not_taken_for_a_process(status: Status, body: bytes) -> None:
    port = serve(0, {"/status": lambda _: Response(body)})
    code, out, _ = status("--url", f"127.0.0.1:{port}")

    assert code == 1
    assert "answers, but not as a process of the job does" in out


def test_on_a_terminal_it_is_live_until_ctrl_c() -> None:
    main, terminal = pty.openpty()
    readable = select.poll()  # for any descriptor: `select` takes none above 1,023
    readable.register(main, select.POLLIN)
    # A shell that runs the tests in the background ignores SIGINT, and children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "flows.cli", "status"]
    with subprocess.Popen(
        [*command, "--url", serving(report())],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "COLUMNS": "70", "LINES": "40"},
    ) as process:
        os.close(terminal)
        seen = b""
        until = time.monotonic() + SECONDS
        while seen.count(b"\x1b[H\x1b[J") < 2:
            assert time.monotonic() < until, seen
            if readable.poll(100):
                seen += os.read(main, 65_536)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
        if readable.poll(1000):
            seen += os.read(main, 65_536)
    os.close(main)
    text = seen.decode()

    assert text.startswith("\x1b[?1049h")
    assert text.endswith("\x1b[?25h\x1b[?1049l")
    frame = text.split("\x1b[H\x1b[J")[1]
    assert "throughput  2,512 records/s  ███" in frame
    assert max(map(len, frame.split("\r\n"))) <= 70
