"""The comparison of verdicts with labels."""

from tests.audit_folder import AuditFolder, RunAudit


def test_missed_and_mistaken_records_are_counted(folder: AuditFolder, run_audit: RunAudit) -> None:
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


def test_labels_of_another_stream_are_refused(folder: AuditFolder, run_audit: RunAudit) -> None:
    other = folder.path / "other.jsonl"
    other.write_text('{"index":0,"label":"unique","partition":0,"offset":400}\n')
    status, report = run_audit(f"--labels={other}")

    assert status == 2
    assert "offset 400" in report
