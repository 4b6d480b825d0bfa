"""Standard input under another name, or a pipe, was taken for a file that can be read again."""

import os
from pathlib import Path

import pytest

from tests.integration.embedded import event, settings_for
from tests.integration.job import Job, fail, recovery_directory


@pytest.mark.parametrize(
    "name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/../dev//stdin", "pipe"]
)
def test_with_recovery_it_is_refused(tmp_path: Path, name: str) -> None:
    if name == "pipe":
        name = str(tmp_path / name)
        os.mkfifo(name)
    settings = settings_for(tmp_path, event("a") + b"\n") | {"DEDUP_INPUT_FILE": name}
    recovery = recovery_directory(tmp_path / "recovery")

    line = fail(Job(settings, tmp_path, recovery=recovery, stdin=tmp_path / "in.jsonl"))

    assert f"DEDUP_INPUT_FILE={name} cannot be used with -r" in line
    assert not (tmp_path / "out").exists()
