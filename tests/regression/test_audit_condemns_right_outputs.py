"""`dedup audit` called right outputs wrong: repeats of evicted keys."""

import json
from pathlib import Path

import pytest

from flows.cli import app
from tests.integration.job import Job, finish


@pytest.mark.parametrize("window", ["tumbling", "sliding", "session", "forever"])
def test_repeats_of_evicted_keys_are_a_note(
    window: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "DEDUP_INPUT_FILE": str(tmp_path / "in.jsonl"),
        "DEDUP_OUTPUT_DIR": str(tmp_path / "out"),
        "DEDUP_WINDOW": window,
        "DEDUP_MAX_KEYS": "200",
    }
    words = ["--records=3000", "--duplicates=0.2", "--late=0.05", "--step=0.5"]
    app.main(["generate", *words, f"--output={settings['DEDUP_INPUT_FILE']}"])
    finish(Job(settings, tmp_path, snapshot_seconds=None))
    monkeypatch.delenv("DEDUP_BROKERS", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    status = app.main(["audit"])
    report = capsys.readouterr().out

    assert status == 0, report
    assert "unique records repeat a key that may have been evicted" in report

    # A repeat that follows its original closely is a fault: its key was not evicted.
    out = tmp_path / "out" / "unique.jsonl"
    duplicates = tmp_path / "out" / "duplicate.jsonl"
    if window in ("tumbling", "sliding", "forever"):
        line, others = close_repeat(duplicates.read_text().splitlines())
        duplicates.write_text("".join(other + "\n" for other in others))
        with out.open("a") as file:
            file.write(line + "\n")
        assert app.main(["audit"]) == 1
        assert "repeat the key of another one in the window" in capsys.readouterr().out


def close_repeat(lines: list[str]) -> tuple[str, list[str]]:
    """The input line of a duplicate that came soon after its original; the other lines."""
    for at, line in enumerate(lines):
        answer = json.loads(line)
        if 0 < answer["offset"] - int(answer["original"].split(":")[1]) < 10:
            return answer["value"], lines[:at] + lines[at + 1 :]
    raise AssertionError
