"""The audit proves the job's outputs with many settings, and finds a stolen record."""

import json
from pathlib import Path

import pytest

from flows.cli import app
from tests.integration.job import Job, finish

SEVERAL = '[["user_id","event_id"],["user_id","event_type"],"content"]'
SETTINGS: dict[str, dict[str, str]] = {
    "windows shorter than a batch": {
        "DEDUP_WINDOW_SECONDS": "0.5",
        "DEDUP_ALLOWED_LATENESS_SECONDS": "0",
    },
    "sliding windows, several keys": {
        "DEDUP_WINDOW": "sliding",
        "DEDUP_WINDOW_SECONDS": "20",
        "DEDUP_KEYS": SEVERAL,
    },
    "sessions, several keys": {
        "DEDUP_WINDOW": "session",
        "DEDUP_WINDOW_SECONDS": "60",
        "DEDUP_KEYS": SEVERAL,
    },
    "near duplicates of a user": {
        "DEDUP_WINDOW": "forever",
        "DEDUP_SIMILARITY": "0.8",
        "DEDUP_SHARD_BY": '["user_id"]',
    },
    "near duplicates by edits": {
        "DEDUP_SIMILARITY": "0.9",
        "DEDUP_SIMILARITY_METRIC": "levenshtein",
    },
    "filters that are often wrong": {
        "DEDUP_STATE": "bloom",
        "DEDUP_BLOOM_ERROR": "0.1",
        "DEDUP_MAX_KEYS": "2000",
    },
    "few keys, renewed": {"DEDUP_MAX_KEYS": "200", "DEDUP_EVICTION": "lru", "DEDUP_KEYS": SEVERAL},
    "an open schema": {"DEDUP_SCHEMA": "open", "DEDUP_KEYS": '[["data.order_id"]]'},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_is_proved_and_a_theft_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    source = tmp_path / "in.jsonl"
    settings = {"DEDUP_INPUT_FILE": str(source), "DEDUP_OUTPUT_DIR": str(out), **SETTINGS[name]}
    shares = ("duplicates=0.2", "same-content=0.05", "near=0.05", "late=0.05", "invalid=0.05")
    words = ["--records=3000", "--step=0.5", *(f"--{share}" for share in shares)]
    app.main(["generate", *words, f"--output={source}"])
    finish(Job(settings, tmp_path, workers=2, snapshot_seconds=None))
    monkeypatch.delenv("DEDUP_BROKERS", raising=False)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    capsys.readouterr()
    status = app.main(["audit"])
    report = capsys.readouterr().out
    assert status == 0, report
    if "DEDUP_SIMILARITY" in settings:
        assert "near duplicates were measured again" in report

    # A unique record becomes late, by seconds that another record is late by.
    unique = (out / "unique.jsonl").read_bytes().splitlines()
    late = json.loads((out / "late.jsonl").read_bytes().splitlines()[0])
    stolen = unique.pop(len(unique) // 2)
    offset = source.read_bytes().split(b"\n").index(stolen)
    (out / "unique.jsonl").write_bytes(b"".join(line + b"\n" for line in unique))
    with (out / "late.jsonl").open("a") as file:
        file.write(json.dumps(late | {"offset": offset, "value": stolen.decode()}) + "\n")
    assert app.main(["audit"]) == 1
    assert f"(offset {offset}) is late" in capsys.readouterr().out
