"""`dedup generate`: the rate, the files it writes, and what it refuses."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from flows.cli import app
from flows.cli.generate.command import paced
from flows.cli.generate.options import StreamOptions
from flows.cli.generate.stream import generate


def test_a_rate_is_kept() -> None:
    began = time.monotonic()
    batches = list(paced(generate(StreamOptions(records=201)), rate=1000))
    seconds = time.monotonic() - began

    assert sum(map(len, batches)) == 201
    assert len(batches) > 5
    assert seconds >= 0.2


def test_lines_and_labels_go_to_files(tmp_path: Path) -> None:
    lines, labels = tmp_path / "events.jsonl", tmp_path / "labels.jsonl"
    words = ["--records=500", "--seed=3", "--step=2", "--invalid=0.2", "--late=0.2"]
    assert app.main(["generate", *words, f"--output={lines}", f"--labels={labels}"]) == 0

    written = lines.read_bytes().split(b"\n")
    assert written.pop() == b""
    written_labels = [json.loads(line) for line in labels.read_text().splitlines()]
    options = StreamOptions(records=500, seed=3, step_seconds=2, invalid=0.2, late=0.2)
    for index, (value, label, record) in enumerate(
        zip(written, written_labels, generate(options), strict=True)
    ):
        assert value == record.value
        assert label["offset"] == label["index"] == index
        assert label["label"] == record.label
        assert label.get("original") == record.repeats
        assert label["event_id"] == record.event_id
    assert Counter(label["label"] for label in written_labels).keys() >= {
        "late",
        "invalid",
        "duplicate",
    }


def test_a_topic_without_brokers_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEDUP_BROKERS", raising=False)

    assert app.main(["generate", "--topic=events"]) == 2
    assert "DEDUP_BROKERS" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "nowhere" / "events.jsonl"

    assert app.main(["generate", f"--output={path}"]) == 2
    assert str(path) in capsys.readouterr().err
