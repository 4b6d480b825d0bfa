"""The options of `dedup replay`, and how it cuts and paces."""

import time

import pytest

from flows.cli import app
from flows.cli.replay.command import _batches, _Pace
from flows.cli.replay.selection import Origin, Replay


def replays(count: int, size: int = 10) -> list[Replay]:
    return [Replay(Origin("raw", 0, n), b"v" * size, None, [], 0) for n in range(count)]


def test_batches_have_an_end_in_records_and_in_bytes() -> None:
    assert [len(batch) for batch in _batches(iter(replays(25)), 10)] == [10, 10, 5]
    assert [len(batch) for batch in _batches(iter(replays(5, 2_500_000)), 10)] == [2, 2, 1]
    assert list(_batches(iter([]), 10)) == []


@pytest.mark.parametrize("rate, most", [(float("inf"), 1000), (1e6, 1000), (100, 50), (0.1, 1)])
def test_a_batch_holds_what_half_a_second_may_bring(rate: float, most: int) -> None:
    assert _Pace(rate).batch_records == most


def test_a_pace_is_kept() -> None:
    began = time.monotonic()
    pace = _Pace(100)
    for _ in range(3):
        pace.wait(10)
    assert 0.3 <= time.monotonic() - began < 3


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
    assert line.startswith("dedup: replay duplicate: what goes back to raw-events is a duplicate")
    assert "--to" in line
