"""Jobs of the embedded mode: their settings, input lines and output files."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from tests.integration.topics import VERDICTS
from tests.model import Model, Record, Settings, output_line


def settings_for(folder: Path, lines: bytes | None = None) -> dict[str, str]:
    """Settings of a job on files in a folder."""
    if lines is not None:
        (folder / "in.jsonl").write_bytes(lines)
    return {
        "DEDUP_INPUT_FILE": str(folder / "in.jsonl"),
        "DEDUP_OUTPUT_DIR": str(folder / "out"),
    }


def outputs(folder: Path) -> dict[str, bytes]:
    """The four output files, by verdict."""
    return {verdict: (folder / "out" / f"{verdict}.jsonl").read_bytes() for verdict in VERDICTS}


def check(folder: Path, lines: Sequence[bytes]) -> None:
    """Assert that the four files hold the model's verdicts of some lines, in their order."""
    model = Model(Settings(), [0])
    unique, others = [], {verdict: [] for verdict in VERDICTS[1:]}  # type: ignore[var-annotated]
    for offset, line in enumerate(lines):
        if not line.strip(b" \t\r"):
            continue
        record = Record(0, offset, None, line)
        verdict = model.decide(record, time.time())
        if verdict.kind == "unique":
            unique.append(line + b"\n")
        else:
            others[verdict.kind].append(output_line(record, verdict))
    written = outputs(folder)
    assert written["unique"] == b"".join(unique)
    for kind, expected in others.items():
        answers = [json.loads(line) for line in written[kind].splitlines()]
        if kind == "late":
            for answer in (*answers, *expected):
                answer["reason"] = round(answer["reason"], 6)
        assert answers == expected


def event(event_id: str, timestamp: float = 1_700_000_000) -> bytes:
    """A line of input, without its newline."""
    return json.dumps(
        {
            "event_id": event_id,
            "user_id": "u",
            "event_type": "t",
            "timestamp": timestamp,
            "data": {},
        }
    ).encode()
