"""Answers with a missing or impossible field are named."""

import json

import pytest

from flows.cli.generate.options import Labelled
from tests.audit_folder import AuditFolder, RunAudit


def changed(folder: AuditFolder, output: str, /, **members: object) -> Labelled:
    """Change members of a line, None for a removed one; return its input record."""
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


@pytest.mark.parametrize("verdict, members, finding", BROKEN)
def test_a_missing_or_impossible_field_is_named(
    folder: AuditFolder, run_audit: RunAudit, verdict: str, members: dict[str, object], finding: str
) -> None:
    changed(folder, verdict, **members)
    status, report = run_audit()

    assert status == 1
    assert finding in report
