"""A small run in embedded mode, made by hand from its labels, for the audit to check."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

from flows.cli.generate.command import label_line
from flows.cli.generate.options import Labelled, StreamOptions
from flows.cli.generate.stream import generate
from tests.model import Model, Record, Settings

OPTIONS = StreamOptions(
    records=400,
    seed=5,
    duplicates=0.2,
    same_content=0.1,
    late=0.1,
    invalid=0.1,
    step_seconds=20,
)
VERDICTS = ("unique", "duplicate", "late", "invalid")
RunAudit = Callable[..., tuple[int, str]]
"""Writes the folder, runs `dedup audit` with these words, and returns status and output."""


def verdict_of(record: Labelled) -> str:
    return record.label if record.label in VERDICTS else "unique"


def seconds_late(records: list[Labelled]) -> dict[int, float]:
    """How far behind the watermark each late record is, by the model."""
    model = Model(Settings(), [0])
    now = time.time()
    seconds = {}
    for record in records:
        verdict = model.decide(Record(0, record.index, None, record.value), now)
        if verdict.late_by is not None:
            seconds[record.index] = verdict.late_by
    return seconds


def output_line(
    record: Labelled, verdict: str, original: int | None = None, late_by: float = 301.5
) -> bytes:
    line: dict[str, object] = {"verdict": verdict, "offset": record.index}
    if verdict == "duplicate":
        line |= {"matched": "event_id", "original": f"0:{original}"}
    elif verdict == "late":
        line["reason"] = late_by
    elif verdict == "invalid":
        line["reason"] = record.reason or "json"
    assert record.value is not None
    try:
        line["value"] = record.value.decode()
    except UnicodeDecodeError:
        line["value_base64"] = base64.b64encode(record.value).decode()
    return json.dumps(line).encode()


class AuditFolder:
    """Input, outputs and labels of a small run, made by hand from the labels."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = list(generate(OPTIONS))
        self.outputs: dict[str, list[bytes]] = {verdict: [] for verdict in VERDICTS}
        late_by = seconds_late(self.records)
        for record in self.records:
            verdict = verdict_of(record)
            if verdict == "unique":
                line = record.value
            else:
                line = output_line(record, verdict, record.repeats, late_by.get(record.index, 0.0))
            self.outputs[verdict].append(line or b"")

    def write(self) -> None:
        with (self.path / "events.jsonl").open("wb") as file:
            file.writelines((record.value or b"") + b"\n" for record in self.records)
        with (self.path / "labels.jsonl").open("wb") as file:
            file.writelines(label_line(record, record.index) for record in self.records)
        (self.path / "out").mkdir(exist_ok=True)
        for verdict, lines in self.outputs.items():
            text = b"".join(line + b"\n" for line in lines)
            (self.path / "out" / f"{verdict}.jsonl").write_bytes(text)

    def nth(self, verdict: str, index: int = 7) -> Labelled:
        """A record with a verdict; its line in the output has the same index."""
        return [record for record in self.records if verdict_of(record) == verdict][index]

    def name(self, record: Labelled) -> str:
        return f"events.jsonl line {record.index + 1} (offset {record.index})"
