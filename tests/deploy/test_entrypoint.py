"""The image's entrypoint: one recovery partition a process, made once, then the job."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.image.entrypoint import prepare
from flows.launch import Launch
from tests.integration.job import ROOT

KAFKA = {"DEDUP_BROKERS": "localhost:9092"}


def launch_in(folder: Path | None, process: int = 0, processes: int = 2) -> Launch:
    return Launch(folder, process, processes, 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*.sqlite3"))


def test_each_process_makes_its_own_partition(tmp_path: Path) -> None:
    for process in range(2):
        folder = tmp_path / str(process) / "recovery"
        prepare(launch_in(folder, process), KAFKA)
        assert names(folder) == [f"part-{process}.sqlite3"]


def test_a_partition_that_is_there_is_left_alone(tmp_path: Path) -> None:
    prepare(launch_in(tmp_path, 1), KAFKA)
    before = (tmp_path / "part-1.sqlite3").stat().st_mtime_ns
    prepare(launch_in(tmp_path, 1), KAFKA)
    assert names(tmp_path) == ["part-1.sqlite3"]
    assert (tmp_path / "part-1.sqlite3").stat().st_mtime_ns == before


def test_those_of_another_number_of_processes_are_moved_aside(tmp_path: Path) -> None:
    prepare(launch_in(tmp_path, 1, 2), KAFKA)
    prepare(launch_in(tmp_path, 1, 3), KAFKA)
    assert names(tmp_path) == ["part-1.sqlite3"]
    [aside] = tmp_path.glob("of-2-until-*")
    assert names(aside) == ["part-1.sqlite3"]


def test_what_is_no_partition_is_moved_aside_too(tmp_path: Path) -> None:
    (tmp_path / "part-0.sqlite3").write_bytes(b"not a database")
    prepare(launch_in(tmp_path), KAFKA)
    assert names(tmp_path) == ["part-0.sqlite3"]
    assert list(tmp_path.glob("of-0-until-*/part-0.sqlite3"))


def test_other_commands_are_run_as_they_are(tmp_path: Path) -> None:
    entrypoint = [sys.executable, str(ROOT / "deploy" / "image" / "entrypoint.py")]
    answer = subprocess.run(
        [*entrypoint, sys.executable, "-c", "import os; print(os.getpid())"],
        env={"PYTHONPATH": str(ROOT), "BYTEWAX_RECOVERY_DIRECTORY": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip().isdigit()
    assert not (tmp_path / "none").exists()


def test_without_a_recovery_directory_there_is_nothing_to_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(launch_in(None), KAFKA)
    assert not list(tmp_path.iterdir())
