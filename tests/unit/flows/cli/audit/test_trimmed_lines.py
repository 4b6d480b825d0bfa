"""Input lines that got white space at their end after they were answered."""

import json

import pytest

from tests.audit_folder import VERDICTS, AuditFolder, RunAudit


@pytest.mark.parametrize("verdict", VERDICTS[:3])
@pytest.mark.parametrize(
    "ends, status",
    [((b"\r", b""), 0), ((b" \t\r", b" "), 0), ((b"", b"\r"), 1), ((b"\r", b" "), 1)],
)
def test_an_answer_has_at_most_the_white_space_of_the_file(
    folder: AuditFolder, run_audit: RunAudit, verdict: str, ends: tuple[bytes, bytes], status: int
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
    exit_status, report = run_audit()

    assert exit_status == status, report
    assert (
        "note: 1 answers are to input lines that got white space at their end later" in report
    ) == (not status)


def test_a_line_that_is_no_json_object_is_answered_whole(
    folder: AuditFolder, run_audit: RunAudit
) -> None:
    # Without a newline only a JSON object is answered.
    lines = [json.loads(line) for line in folder.outputs["invalid"]]
    line = next(line for line in lines if line["reason"] == "json")
    record = folder.records[line["offset"]]
    record.value = (record.value or b"") + b"\r"
    status, report = run_audit()

    assert status == 1
    assert "1 output records differ from the input record that they answer" in report
