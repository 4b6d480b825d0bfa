"""The options of `dedup replay`, and what it refuses."""

import pytest

from flows.cli import app


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["unique"],
        ["late", "--since", "yesterday"],
        ["late", "--until", "nan"],
        ["late", "--rate", "0"],
        ["late", "--rate", "inf"],
        ["late", "--limit", "0"],
        ["late", "--limit", "-3"],
        ["late", "--max-replays", "x"],
    ],
)
def test_options_that_make_no_sense_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["replay", *words])

    assert ended.value.code == 2
    assert "usage: dedup replay" in capsys.readouterr().err


def test_there_is_nothing_to_replay_in_embedded_mode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEDUP_BROKERS", raising=False)

    assert app.main(["replay", "late"]) == 2
    assert "DEDUP_BROKERS is not set" in capsys.readouterr().err


def test_a_verdict_that_is_dropped_cannot_be_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEDUP_BROKERS", "localhost:1")
    monkeypatch.setenv("DEDUP_LATE_TOPIC", "")

    assert app.main(["replay", "invalid", "late"]) == 2
    assert "DEDUP_LATE_TOPIC is empty" in capsys.readouterr().err


@pytest.mark.parametrize("to", [[], ["--to", "raw-events"]])
def test_duplicates_do_not_go_back_to_the_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], to: list[str]
) -> None:
    monkeypatch.setenv("DEDUP_BROKERS", "localhost:1")

    assert app.main(["replay", "late", "duplicate", *to]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("dedup: replay duplicate: a record that goes back to raw-events is a")
    assert "--to" in line
