"""The progress line: only on a terminal, and cleared at the end."""

import sys

import pytest

from flows.cli import progress
from flows.cli.progress import Progress


def test_without_a_terminal_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("reading", 10) as shown:
        shown.add(10)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total, text", [(2000, "reading: 1,500 of 2,000"), (0, "reading: 1,500")])
def test_a_terminal_gets_one_line_that_is_cleared_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], total: int, text: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_UPDATE_SECONDS", 0.0)
    with Progress("reading", total) as shown:
        shown.add(1000)
        shown.add(500)

    output, errors = capsys.readouterr()
    assert output == ""
    assert "\n" not in errors
    assert errors.split("\r")[-2:] == [f"{text}\x1b[K", "\x1b[K"]
