"""Verdicts that the rules do not give are named."""

import json

import pytest

from tests.audit_folder import AuditFolder, RunAudit, output_line


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
def test_a_well_formed_answer_with_another_verdict_is_named(
    folder: AuditFolder, run_audit: RunAudit, verdict: str, target: str, kind: str
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


def test_an_original_that_comes_after_its_duplicate_is_named(
    folder: AuditFolder, run_audit: RunAudit
) -> None:
    # Of three records with one key, the outputs call the last unique and the first its duplicate.
    repeat = next(record for record in folder.records if record.label == "duplicate")
    assert repeat.repeats is not None
    first = folder.records[repeat.repeats]
    folder.outputs["unique"].remove(first.value or b"")
    folder.outputs["unique"].append(repeat.value or b"")
    folder.outputs["duplicate"] = [
        line
        for line in folder.outputs["duplicate"]
        if json.loads(line)["original"] != f"0:{first.index}"
    ]
    others = [
        record
        for record in folder.records
        if record.repeats == first.index and record.label == "duplicate" and record is not repeat
    ]
    for record in (first, *others):
        folder.outputs["duplicate"].append(output_line(record, "duplicate", repeat.index))
    status, report = run_audit()

    assert status == 1
    assert f"{folder.name(first)} names" in report
    assert f"names {folder.path}/{folder.name(repeat)}" in report


def test_a_good_record_that_was_never_in_the_future_is_named(
    folder: AuditFolder, run_audit: RunAudit
) -> None:
    record = folder.nth("unique")
    folder.outputs["unique"].remove(record.value or b"")
    line = json.loads(output_line(record, "invalid")) | {"reason": "future"}
    folder.outputs["invalid"].append(json.dumps(line).encode())
    status, report = run_audit()

    assert status == 1
    assert f"{folder.name(record)} is invalid for future" in report


def test_a_record_that_is_too_far_ahead_is_not_unique(
    folder: AuditFolder, run_audit: RunAudit
) -> None:
    lines = [json.loads(line) for line in folder.outputs["invalid"]]
    at = next(at for at, line in enumerate(lines) if line["reason"] == "future")
    del folder.outputs["invalid"][at]
    folder.outputs["unique"].append(lines[at]["value"].encode())
    status, report = run_audit()

    assert status == 1
    assert "have a verdict that the rules do not give" in report
    assert f"(offset {lines[at]['offset']}) is unique" in report


def test_another_allowed_lateness_must_be_given(
    folder: AuditFolder, run_audit: RunAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "0")
    assert run_audit()[0] == 1  # records that 300 s allow are late with 0 s
    assert run_audit("--allowed-lateness=300")[0] == 0
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "100000")
    assert run_audit()[0] == 1
    status, report = run_audit("--allowed-lateness=300", "--allowed-lateness=5000")
    assert status == 0, report
