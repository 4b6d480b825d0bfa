"""The `dedup` command itself: statuses, one line of error, pipes and Ctrl-C."""

import re
import signal
import subprocess
import sys

import pytest

from flows.cli import app
from flows.cli.generate import command

ENDLESS = [sys.executable, "-m", "flows.cli", "generate", "--records=100000000", "--step=0"]


def test_an_error_of_the_user_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.main(["generate", "--duplicates=2"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "dedup: --duplicates 2.0 must be a share from 0 to 1\n"


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        return 1 // 0

    monkeypatch.setattr(command, "run", broken)

    with pytest.raises(ZeroDivisionError):
        app.main(["generate"])


def test_wrong_arguments_are_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["generate", "--no-such-option"])

    assert ended.value.code == 2
    assert "--no-such-option" in capsys.readouterr().err


@pytest.mark.parametrize("name", app._COMMANDS)
def test_every_sub_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main([name, "--help"])

    assert ended.value.code == 0
    assert f"usage: dedup {name} " in capsys.readouterr().out


def test_the_overview_lists_every_sub_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        app.main(["--help"])

    assert ended.value.code == 0
    overview = capsys.readouterr().out
    assert overview.startswith("usage: dedup [-h] COMMAND ...")
    for name, summary in app._COMMANDS.items():
        assert re.search(rf"^ +{name} +{summary}$", overview, re.MULTILINE), name


def test_a_reader_that_goes_away_ends_it_silently() -> None:
    with subprocess.Popen(ENDLESS, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"event_id"')
        process.stdout.close()

        assert process.stderr.read() == b""
        assert process.wait(30) == 128 + signal.SIGPIPE


def test_ctrl_c_is_one_line_and_status_130() -> None:
    # A shell that runs the tests in the background ignores SIGINT, and children inherit that.
    with subprocess.Popen(
        ["env", "--default-signal=INT", *ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert errors == b"dedup: interrupted\n"
    assert process.returncode == 130
