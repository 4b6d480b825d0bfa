"""The audit of the embedded mode: what is right passes, what was tampered with is named."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import app
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
Run = Callable[..., tuple[int, str]]


def verdict_of(record: Labelled) -> str:
    return record.label if record.label in VERDICTS else "unique"


def seconds_late(records: list[Labelled]) -> dict[int, float]:
    """How far behind the watermark each late record is, by the model."""
    model = Model(Settings(), [0])
    verdicts = {
        one.index: model.decide(Record(0, one.index, None, one.value), time.time())
        for one in records
    }
    return {index: one.late_by for index, one in verdicts.items() if one.late_by is not None}


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


class Folder:
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

    def nth(self, verdict: str, number: int = 7) -> Labelled:
        """The n-th record with a verdict; its line in the output has the same number."""
        return [one for one in self.records if verdict_of(one) == verdict][number]

    def name(self, record: Labelled) -> str:
        return f"events.jsonl line {record.index + 1} (offset {record.index})"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def run_audit(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    def run(*words: str) -> tuple[int, str]:
        folder.write()
        monkeypatch.delenv("DEDUP_BROKERS", raising=False)
        monkeypatch.setenv("DEDUP_INPUT_FILE", str(folder.path / "events.jsonl"))
        monkeypatch.setenv("DEDUP_OUTPUT_DIR", str(folder.path / "out"))
        capsys.readouterr()
        status = app.main(["audit", *words])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def test_a_right_run_is_proved(folder: Folder, run_audit: Run) -> None:
    status, report = run_audit(f"--labels={folder.path / 'labels.jsonl'}", "--least-detection=1")

    assert status == 0, report
    assert "ok: every input record is answered exactly once" in report
    rows = {line.split()[0]: line.split() for line in report.splitlines() if "%" in line}
    assert rows.keys() == {"unique", "duplicate", "same-content", "late", "invalid"}
    assert {row[4] for row in rows.values()} == {"100.000%"}


def test_blank_lines_of_the_input_are_counted_but_not_asked_for(
    folder: Folder, run_audit: Run
) -> None:
    for record in folder.records:
        record.index *= 2
    for verdict in VERDICTS[1:]:
        folder.outputs[verdict] = [
            json.dumps(
                (line := json.loads(text))
                | {"offset": line["offset"] * 2}
                | ({"original": f"0:{int(line['original'][2:]) * 2}"} if "original" in line else {})
            ).encode()
            for text in folder.outputs[verdict]
        ]
    # Every record is followed by a line of white space.
    for record in folder.records:
        record.value = (record.value or b"") + b"\n \t\r"
    status, report = run_audit()

    assert status == 0, report


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_removed_is_named(folder: Folder, run_audit: Run, verdict: str) -> None:
    del folder.outputs[verdict][7]
    status, report = run_audit()

    assert status == 1
    assert "1 input records have no answer:" in report
    assert folder.name(folder.nth(verdict)) in report
    assert "NOT PROVED" in report


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_doubled_is_named(folder: Folder, run_audit: Run, verdict: str) -> None:
    folder.outputs[verdict].append(folder.outputs[verdict][7])
    status, report = run_audit()

    assert status == 1
    assert "1 answers are to records that have one already:" in report
    assert f"{folder.name(folder.nth(verdict))} again" in report


@pytest.mark.parametrize("target", VERDICTS)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_line_in_the_wrong_file_is_named(
    folder: Folder, run_audit: Run, verdict: str, target: str
) -> None:
    if verdict == target:
        return
    folder.outputs[target].append(folder.outputs[verdict].pop(7))
    status, report = run_audit()

    assert status == 1
    assert f"{target}.jsonl line {len(folder.outputs[target])}" in report
    if verdict == "unique":
        assert "do not say which record they answer" in report
        assert folder.name(folder.nth(verdict)) in report
    else:
        assert "are in the output of another verdict" in report


@pytest.mark.parametrize(
    "verdict, target, kind",
    [
        ("unique", "duplicate", "name an original that they do not repeat"),
        ("unique", "late", "have a verdict that the rules do not give"),
        ("unique", "invalid", "have a verdict that the rules do not give"),
        ("duplicate", "unique", "repeat the key of another one in the window"),
        ("duplicate", "late", "have a verdict that the rules do not give"),
        ("late", "unique", "have a verdict that the rules do not give"),
        ("late", "invalid", "have a verdict that the rules do not give"),
        ("invalid", "unique", "have a verdict that the rules do not give"),
        ("invalid", "late", "have a verdict that the rules do not give"),
    ],
)
def test_a_record_answered_in_form_with_another_verdict_is_named(
    folder: Folder, run_audit: Run, verdict: str, target: str, kind: str
) -> None:
    record = folder.nth(verdict)
    other = folder.nth("unique", 3)
    del folder.outputs[verdict][7]
    line = record.value if target == "unique" else output_line(record, target, other.index)
    folder.outputs[target].append(line or b"")
    status, report = run_audit()

    assert status == 1
    assert kind in report
    assert folder.name(record) in report


def changed(folder: Folder, output: str, /, **members: object) -> Labelled:
    """Change members of a line, None for one that is taken away; return its record."""
    line = json.loads(folder.outputs[output][7]) | members
    kept = {name: value for name, value in line.items() if value is not None}
    folder.outputs[output][7] = json.dumps(kept).encode()
    return folder.nth(output)


BROKEN = [
    ("duplicate", {"original": "0:99999"}, "names 0:99999, which is not in the input"),
    ("duplicate", {"original": "7:0"}, "names 7:0, which is not in the input"),
    ("duplicate", {"original": "nowhere"}, ": no original, or no valid one"),
    ("duplicate", {"original": None}, ": no original, or no valid one"),
    ("duplicate", {"original": None, "probable": True}, ": no original, or no valid one"),
    ("duplicate", {"matched": None}, ": no matched, or no valid one"),
    ("duplicate", {"matched": "similar", "similarity": 0.1}, ": no matched, or no valid one"),
    ("late", {"reason": None}, ": no reason, or no valid one"),
    ("late", {"reason": "301.5"}, ": no reason, or no valid one"),
    ("late", {"reason": -1.5}, ": no reason, or no valid one"),
    ("late", {"reason": 299.5}, "is late by 299.5 s"),
    ("late", {"reason": 1e7}, "is late by 10000000.0 s"),
    ("invalid", {"reason": None}, ": no reason, or no valid one"),
    ("invalid", {"reason": "unknown"}, ": no reason, or no valid one"),
    ("invalid", {"reason": "tombstone"}, "is invalid for tombstone, which is"),
    ("invalid", {"offset": None}, ": no line of the job's form"),
    ("invalid", {"verdict": None}, ": no line of the job's form"),
]


@pytest.mark.parametrize("verdict, members, said", BROKEN)
def test_an_answer_that_says_what_cannot_be_is_named(
    folder: Folder, run_audit: Run, verdict: str, members: dict[str, object], said: str
) -> None:
    changed(folder, verdict, **members)
    status, report = run_audit()

    assert status == 1
    assert said in report


def test_an_original_that_comes_after_its_duplicate_is_named(
    folder: Folder, run_audit: Run
) -> None:
    # The last of three with one key was unique, they say, and the first its duplicate.
    repeat = next(one for one in folder.records if one.label == "duplicate")
    assert repeat.repeats is not None
    first = folder.records[repeat.repeats]
    folder.outputs["unique"].remove(first.value or b"")
    folder.outputs["unique"].append(repeat.value or b"")
    folder.outputs["duplicate"] = [
        line
        for line in folder.outputs["duplicate"]
        if json.loads(line)["original"] != f"0:{first.index}"
    ]
    others = [one for one in folder.records if one.repeats == first.index and one is not repeat]
    for one in (first, *(other for other in others if other.label == "duplicate")):
        folder.outputs["duplicate"].append(output_line(one, "duplicate", repeat.index))
    status, report = run_audit()

    assert status == 1
    assert f"{folder.name(first)} names" in report
    assert f"names {folder.path}/{folder.name(repeat)}" in report


def test_a_good_record_that_was_never_in_the_future_is_named(
    folder: Folder, run_audit: Run
) -> None:
    record = folder.nth("unique")
    folder.outputs["unique"].remove(record.value or b"")
    line = json.loads(output_line(record, "invalid")) | {"reason": "future"}
    folder.outputs["invalid"].append(json.dumps(line).encode())
    status, report = run_audit()

    assert status == 1
    assert f"{folder.name(record)} is invalid for future" in report


def test_a_record_that_is_too_far_ahead_is_not_unique(folder: Folder, run_audit: Run) -> None:
    lines = [json.loads(line) for line in folder.outputs["invalid"]]
    at = next(at for at, line in enumerate(lines) if line["reason"] == "future")
    del folder.outputs["invalid"][at]
    folder.outputs["unique"].append(lines[at]["value"].encode())
    status, report = run_audit()

    assert status == 1
    assert "have a verdict that the rules do not give" in report
    assert f"(offset {lines[at]['offset']}) is unique" in report


def test_another_allowed_lateness_has_to_be_told(
    folder: Folder, run_audit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "0")
    assert run_audit()[0] == 1  # what was in time by 300 s is late by none
    assert run_audit("--allowed-lateness=300")[0] == 0
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "100000")
    assert run_audit()[0] == 1
    status, report = run_audit("--allowed-lateness=300", "--allowed-lateness=5000")
    assert status == 0, report


@pytest.mark.parametrize("seconds", ["x", "-1", "nan", "inf"])
def test_a_lateness_that_is_none_is_refused(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["audit", "--allowed-lateness", seconds])

    assert ended.value.code == 2
    assert "is not a number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_changed_byte_is_named(folder: Folder, run_audit: Run, verdict: str) -> None:
    lines = folder.outputs[verdict]
    assert b"user_id" in lines[8]
    lines[8] = lines[8].replace(b"user_id", b"user_iD")
    status, report = run_audit()

    assert status == 1
    kind = "answer no input record" if verdict == "unique" else "differ from the input record"
    assert kind in report
    assert f"{verdict}.jsonl line 9" in report


@pytest.mark.parametrize("verdict", VERDICTS[:3])
@pytest.mark.parametrize(
    "ends, status",
    [((b"\r", b""), 0), ((b" \t\r", b" "), 0), ((b"", b"\r"), 1), ((b"\r", b" "), 1)],
)
def test_only_less_white_space_than_in_the_file_can_have_been_answered(
    folder: Folder, run_audit: Run, verdict: str, ends: tuple[bytes, bytes], status: int
) -> None:
    in_file, in_answer = ends
    record, line = folder.nth(verdict), folder.outputs[verdict][7]
    value = record.value or b""
    record.value = value + in_file
    if verdict == "unique":
        folder.outputs[verdict][7] = line + in_answer
    else:
        answer = json.loads(line) | {"value": (value + in_answer).decode()}
        folder.outputs[verdict][7] = json.dumps(answer).encode()
    found, report = run_audit()

    assert found == status, report
    assert (
        "note: 1 answers are to input lines that got white space at their end later" in report
    ) == (not status)


def test_a_line_that_is_no_event_was_answered_as_it_is(folder: Folder, run_audit: Run) -> None:
    # Without a newline only a JSON object is answered.
    lines = [json.loads(line) for line in folder.outputs["invalid"]]
    line = next(one for one in lines if one["reason"] == "json")
    record = folder.records[line["offset"]]
    record.value = (record.value or b"") + b"\r"
    status, report = run_audit()

    assert status == 1
    assert "1 output records differ from the input record that they answer" in report


def test_a_record_that_was_never_in_the_input_is_named(folder: Folder, run_audit: Run) -> None:
    late = json.loads(folder.outputs["late"][0])
    folder.outputs["late"].append(json.dumps(late | {"offset": 100_000}).encode())
    folder.outputs["late"].append(b"no JSON at all")
    status, report = run_audit()

    assert status == 1
    assert f"late.jsonl line {len(folder.outputs['late'])}" in report
    assert "(offset 100000)" in report


def test_so_many_offenders_are_named_as_asked(folder: Folder, run_audit: Run) -> None:
    del folder.outputs["unique"][:20]
    status, report = run_audit("--show=3")

    assert status == 1
    assert "20 input records have no answer:" in report
    assert "… and 17 more" in report
    assert report.count("events.jsonl line") >= 3


def test_labels_show_what_was_missed_and_mistaken(folder: Folder, run_audit: Run) -> None:
    labels = folder.path / "labels.jsonl"
    folder.nth("duplicate").label = "late"  # expected late, is a duplicate
    folder.nth("late").label = "unique"  # expected unique, is late
    status, report = run_audit(f"--labels={labels}")

    assert status == 0, report
    rows = {line.split()[0]: line.split()[-2:] for line in report.splitlines() if "%" in line}
    assert rows["late"] == ["1", "0"]
    assert rows["unique"] == ["0", "1"]
    assert rows["duplicate"] == ["0", "0"]
    assert run_audit(f"--labels={labels}", "--least-detection=1")[0] == 1


def test_labels_of_another_stream_are_refused(folder: Folder, run_audit: Run) -> None:
    other = folder.path / "other.jsonl"
    other.write_text('{"index":0,"label":"unique","partition":0,"offset":400}\n')
    status, report = run_audit(f"--labels={other}")

    assert status == 2
    assert "offset 400" in report


@pytest.mark.parametrize("name", ["out/late.jsonl", "events.jsonl"])
def test_a_missing_file_is_named(
    folder: Folder,
    run_audit: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    run_audit()
    (folder.path / name).unlink()

    assert app.main(["audit"]) == 2
    assert str(folder.path / name) in capsys.readouterr().err
