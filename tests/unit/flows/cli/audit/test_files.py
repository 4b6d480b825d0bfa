"""The audit of files: a right run is proved, and each changed output is named."""

import json

import pytest

from flows.cli import app
from tests.audit_folder import VERDICTS, AuditFolder, RunAudit


def test_a_right_run_is_proved(folder: AuditFolder, run_audit: RunAudit) -> None:
    status, report = run_audit(f"--labels={folder.path / 'labels.jsonl'}", "--least-detection=1")

    assert status == 0, report
    assert "ok: every input record is answered exactly once" in report
    rows = {line.split()[0]: line.split() for line in report.splitlines() if "%" in line}
    assert rows.keys() == {"unique", "duplicate", "same-content", "late", "invalid"}
    assert {row[4] for row in rows.values()} == {"100.000%"}


def test_blank_lines_of_the_input_are_counted_but_need_no_answer(
    folder: AuditFolder, run_audit: RunAudit
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
def test_a_record_that_was_removed_is_named(
    folder: AuditFolder, run_audit: RunAudit, verdict: str
) -> None:
    del folder.outputs[verdict][7]
    status, report = run_audit()

    assert status == 1
    assert "1 input records have no answer:" in report
    assert folder.name(folder.nth(verdict)) in report
    assert "NOT PROVED" in report


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_doubled_is_named(
    folder: AuditFolder, run_audit: RunAudit, verdict: str
) -> None:
    folder.outputs[verdict].append(folder.outputs[verdict][7])
    status, report = run_audit()

    assert status == 1
    assert "1 answers are to records that have one already:" in report
    assert f"{folder.name(folder.nth(verdict))} again" in report


@pytest.mark.parametrize("target", VERDICTS)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_line_in_the_wrong_file_is_named(
    folder: AuditFolder, run_audit: RunAudit, verdict: str, target: str
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


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_changed_byte_is_named(folder: AuditFolder, run_audit: RunAudit, verdict: str) -> None:
    lines = folder.outputs[verdict]
    assert b"user_id" in lines[8]
    lines[8] = lines[8].replace(b"user_id", b"user_iD")
    status, report = run_audit()

    assert status == 1
    kind = "answer no input record" if verdict == "unique" else "differ from the input record"
    assert kind in report
    assert f"{verdict}.jsonl line 9" in report


def test_a_record_that_was_never_in_the_input_is_named(
    folder: AuditFolder, run_audit: RunAudit
) -> None:
    late = json.loads(folder.outputs["late"][0])
    folder.outputs["late"].append(json.dumps(late | {"offset": 100_000}).encode())
    folder.outputs["late"].append(b"no JSON at all")
    status, report = run_audit()

    assert status == 1
    assert f"late.jsonl line {len(folder.outputs['late'])}" in report
    assert "(offset 100000)" in report


@pytest.mark.parametrize("name", ["out/late.jsonl", "events.jsonl"])
def test_a_missing_file_is_named(
    folder: AuditFolder,
    run_audit: RunAudit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    run_audit()
    (folder.path / name).unlink()

    assert app.main(["audit"]) == 2
    assert str(folder.path / name) in capsys.readouterr().err
