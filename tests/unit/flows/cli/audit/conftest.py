"""Fixtures: a run in embedded mode, and the audit of it."""

from pathlib import Path

import pytest

from flows.cli import app
from tests.audit_folder import AuditFolder, RunAudit


@pytest.fixture
def folder(tmp_path: Path) -> AuditFolder:
    return AuditFolder(tmp_path)


@pytest.fixture
def run_audit(
    folder: AuditFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RunAudit:
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
