"""The options of `dedup audit`."""

import pytest

from flows.cli import app
from tests.audit_folder import AuditFolder, RunAudit


@pytest.mark.parametrize("seconds", ["x", "-1", "nan", "inf"])
def test_what_is_no_lateness_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.main(["audit", "--allowed-lateness", seconds])

    assert ended.value.code == 2
    assert "is not a number of seconds" in capsys.readouterr().err


def test_as_many_examples_are_shown_as_asked_for(folder: AuditFolder, run_audit: RunAudit) -> None:
    del folder.outputs["unique"][:20]
    status, report = run_audit("--show=3")

    assert status == 1
    assert "20 input records have no answer:" in report
    assert "… and 17 more" in report
    assert report.count("events.jsonl line") >= 3
