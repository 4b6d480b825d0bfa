"""The status page: it loads nothing from other hosts, and a real browser draws it.

DEDUP_TEST_SCREENSHOTS=FOLDER keeps screenshots to look at.
"""

import html
import json
import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from flows.web.server import Request, Response, serve
from tests.status_reports import input_of, report

PAGE = files("flows.web").joinpath("status_page.html").read_text()
SECONDS = 120.0
# Options that keep Chromium from asking other hosts.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
LOOKS = {
    "light": ("--window-size=1200,800",),
    "dark": ("--window-size=1200,800", "--blink-settings=preferredColorScheme=0"),
    "phone": ("--window-size=500,1700",),
}


def test_the_page_refers_to_no_other_host() -> None:
    # SVG's namespace is only a name: no browser requests it.
    addresses = set(re.findall(r"[a-z]+://[^\s\"']+", PAGE))

    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"(?!data:)", PAGE)
    assert not re.findall(
        r"@import|url\(|innerHTML|insertAdjacentHTML|document\.write|eval\(", PAGE
    )


class Browser:
    """Chromium with the status page; tests set the report that the page gets."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self.report: dict[str, Any] = report()
        self.requests: list[str] = []
        self.port = serve(0, {"/": self._page, "/status": self._status})

    def _page(self, request: Request) -> Response:
        del request
        self.requests.append("/")
        return Response(PAGE.encode(), "text/html; charset=utf-8")

    def _status(self, request: Request) -> Response:
        self.requests.append(f"/status?{request.query}")
        return Response(json.dumps(self.report).encode(), "application/json")

    def run(self, *options: str) -> str:
        profile = self._folder / f"profile-{len(list(self._folder.iterdir()))}"
        command = [
            self._binary,
            *QUIET,
            f"--user-data-dir={profile}",
            "--virtual-time-budget=3000",
            *options,
            f"http://127.0.0.1:{self.port}/",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        return done.stdout

    def text(self) -> str:
        """Text of the page, without its script."""
        body = re.sub(
            r"<(script|style|noscript)\b.*?</\1>", "", self.run("--dump-dom"), flags=re.DOTALL
        )
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    return Browser(binary, tmp_path)


def test_a_browser_shows_every_figure_and_requests_only_the_status(browser: Browser) -> None:
    text = browser.text()

    for shown in (
        "orders <script>alert(1)</script>",
        "running",
        "process 1 (0 to 1)",
        "2,512 records/s",
        "100 k records",
        "duplicate 12,000 12.0 %",
        "duplicates by: event_id 11,000, content 1,000",
        "1,251 records",
        "raw-events/1: 1,234, raw-events/2: 17, unknown for 1 partition",
        "raw-events 4 unknown unreachable unknown raw-events 1 1,234 read 42 s ago",
        "42 s",
        "16.0 k keys",
        "3.1 MiB",
        "34 ms",
        "321 keys",
        "the guarantee is weakened: max_keys 321",
        "3 25,000 4,000 793 KiB 42 s 1,000",
        "event_id 4,321 1:57 2",
    ):
        assert shown in text
    assert browser.requests[:2] == ["/", "/status?history=1"]
    assert set(browser.requests[2:]) == {"/status?"}


def test_a_browser_shows_problems(browser: Browser) -> None:
    browser.report = report(
        ready=False,
        problems=["lanes that are not restored: 1", "the brokers do not answer: gone"],
        stage="starting",
        lanes=[],
        watermark=None,
        watermark_lag_seconds=None,
        commit_seconds=None,
    )
    text = browser.text()

    assert "starting, not ready" in text
    assert "the brokers do not answer: gone" in text
    assert "Watermark lag unknown" in text
    assert "Lanes of this process none yet" in text


def test_a_lag_that_is_not_known_is_not_zero(browser: Browser) -> None:
    browser.report = report(inputs=[input_of(0, None)])
    text = browser.text()

    assert "Input lag unknown" in text
    assert "read to the end" not in text


@pytest.mark.parametrize("look", LOOKS)
def test_screenshots_hold_curves(browser: Browser, tmp_path: Path, look: str) -> None:
    kept = os.environ.get("DEDUP_TEST_SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path
    screenshot = folder / f"status-{look}.png"
    browser.run(*LOOKS[look], f"--screenshot={screenshot}")

    # A page without its cards compresses to a few kilobytes.
    assert screenshot.stat().st_size > 30_000
