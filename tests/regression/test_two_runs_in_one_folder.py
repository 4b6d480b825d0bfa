"""Two runs on one recovery directory and output folder wrote into each other's files."""

import errno
import fcntl
import logging
import shutil
import signal
from pathlib import Path
from typing import Final

import pytest

from connectors.files.recoverable_files import OutputFiles
from operators.errors import SinkError
from tests.integration.embedded import event, outputs, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory

LINES: Final = b"".join(
    b'{"event_id":"e%d","user_id":"u","event_type":"t","timestamp":1700000000,"data":{}}\n'
    % (number - number % 10 // 9)
    for number in range(600_000)
)


def written(folder: Path) -> int:
    unique = folder / "out" / "unique.jsonl"
    return unique.stat().st_size if unique.exists() else 0


def test_a_second_run_is_refused_and_the_first_ends_as_if_alone(tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    finish(Job(settings_for(calm, LINES), calm))
    settings = settings_for(tmp_path, LINES)
    recovery = recovery_directory(tmp_path / "recovery")

    with Job(settings, tmp_path, recovery=recovery) as first:
        first.wait_until(lambda: written(tmp_path) > 0)
        first.send(signal.SIGSTOP)  # in the middle of its files
        before = outputs(tmp_path)
        for workers in (1, 2):
            line = fail(Job(settings, tmp_path, recovery=recovery, workers=workers))
            assert f"another run is using the recovery directory {recovery}" in line
        assert outputs(tmp_path) == before
        first.send(signal.SIGCONT)
        [ended] = first.wait()

    assert ended.status == 0, ended.stderr
    assert outputs(tmp_path) == outputs(calm)
    # What the refused runs left behind keeps nobody out.
    finish(Job(settings, tmp_path, recovery=recovery))
    assert outputs(tmp_path) == outputs(calm)


def test_a_copy_of_the_recovery_directory_does_not_open_the_folder(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n") | {"DEDUP_STATS_TOPIC": "on"}
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    shutil.copytree(recovery, tmp_path / "copy")
    snapshot = written(tmp_path)
    with (tmp_path / "in.jsonl").open("ab") as file:
        file.write(LINES)

    with Job(settings, tmp_path, recovery=recovery) as first:
        first.wait_until(lambda: written(tmp_path) > snapshot)
        first.send(signal.SIGSTOP)
        before = outputs(tmp_path)
        line = fail(Job(settings, tmp_path, recovery=tmp_path / "copy"))
        assert f"DEDUP_OUTPUT_DIR={tmp_path / 'out'}" in line
        assert outputs(tmp_path) == before


def test_processes_of_one_cluster_do_not_keep_each_other_out(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, LINES[:100_000]) | {"DEDUP_STATS_TOPIC": "on"}
    recovery = recovery_directory(tmp_path / "recovery")

    with Job(settings, tmp_path, processes=3, workers=2, recovery=recovery) as job:
        job.wait_until(lambda: written(tmp_path) > 0 or not job.alive)
        job.kill()  # what they held is free at once
    finish(Job(settings, tmp_path, processes=2, recovery=recovery))
    finish(Job(settings, tmp_path, workers=2, recovery=recovery))

    assert outputs(tmp_path)["unique"].count(b"\n") > 0


def test_files_are_not_cut_while_another_writes_them(tmp_path: Path) -> None:
    first = OutputFiles(tmp_path, ("a", "b"), ".marker", None, None)
    first.write("a", b"whole\n")
    snapshot = first.snapshot()
    for resume in (snapshot, None):
        with pytest.raises(SinkError, match="another run is writing to DEDUP_OUTPUT_DIR="):
            OutputFiles(tmp_path, ("a", "b"), ".marker", None, resume)
    first.write("a", b"line\n")
    assert (tmp_path / "a").read_bytes() == b"whole\nline\n"
    first.close()

    OutputFiles(tmp_path, ("a", "b"), ".marker", None, snapshot).close()
    assert (tmp_path / "a").read_bytes() == b"whole\n"


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, f"No locks available {descriptor} {operation}")

    monkeypatch.setattr(fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING):
        files = OutputFiles(tmp_path, ("a",), ".marker", None, None)
    files.write("a", b"line\n")
    files.close()

    assert f"{tmp_path / '.marker'} cannot be locked" in caplog.text
