"""The image's entrypoint moved recovery partitions aside for any error of reading them."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deploy.image import entrypoint
from flows.launch import Launch
from operators.errors import StateError
from tests.integration.job import ROOT

KAFKA = {"DEDUP_BROKERS": "localhost:9092"}


def launch_in(folder: Path, processes: int = 2) -> Launch:
    return Launch(folder, 0, processes, 1)


def moved(folder: Path) -> list[Path]:
    return list(folder.glob("of-*"))


def test_a_locked_partition_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entrypoint.prepare(launch_in(tmp_path), KAFKA)
    path = tmp_path / "part-0.sqlite3"
    connect = sqlite3.connect

    def impatient(database: str, *, uri: bool) -> sqlite3.Connection:
        return connect(database, timeout=0.1, uri=uri)

    monkeypatch.setattr(sqlite3, "connect", impatient)
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(StateError, match=rf"{path} cannot be read: database is locked"):
            entrypoint.prepare(launch_in(tmp_path), KAFKA)

    assert path.exists()
    assert not moved(tmp_path)


@pytest.mark.parametrize("name", ["part-0.sqlite3", "part-1.sqlite3"])
def test_a_partition_that_cannot_be_opened_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()  # even root cannot read it

    with pytest.raises(StateError, match=rf"{name} cannot be read: "):
        entrypoint.prepare(launch_in(tmp_path), KAFKA)

    assert (tmp_path / name).exists()
    assert not moved(tmp_path)


@pytest.mark.parametrize("settings", [{}, KAFKA | {"DEDUP_GUARANTEE": "at_least_once"}])
def test_the_only_copy_of_the_keys_stays(tmp_path: Path, settings: dict[str, str]) -> None:
    entrypoint.prepare(launch_in(tmp_path), settings)
    before = (tmp_path / "part-0.sqlite3").read_bytes()

    with pytest.raises(StateError, match="only copy of the keys"):
        entrypoint.prepare(launch_in(tmp_path, 3), settings)

    assert (tmp_path / "part-0.sqlite3").read_bytes() == before
    assert not moved(tmp_path)


@pytest.mark.parametrize("settings", [{}, KAFKA | {"DEDUP_GUARANTEE": "at_least_once"}])
def test_a_broken_only_copy_is_named(tmp_path: Path, settings: dict[str, str]) -> None:
    path = tmp_path / "part-0.sqlite3"
    path.write_bytes(b"not a database")

    with pytest.raises(StateError, match=rf"{path} is no recovery partition: it is broken"):
        entrypoint.prepare(launch_in(tmp_path), settings)

    assert path.read_bytes() == b"not a database"
    assert not moved(tmp_path)


def test_a_partition_without_tables_is_no_partition(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "part-0.sqlite3")) as database:
        database.execute("CREATE TABLE other (id INTEGER)")

    entrypoint.prepare(launch_in(tmp_path), KAFKA)

    assert moved(tmp_path)


def test_the_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "part-0.sqlite3").mkdir()
    answer = subprocess.run(
        [sys.executable, "-m", "deploy.image.entrypoint", sys.executable, "-m", "bytewax.run"],
        cwd=ROOT,
        env={"BYTEWAX_RECOVERY_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    [line] = answer.stderr.splitlines()
    assert line.startswith("dedup: ")
    assert "part-0.sqlite3 cannot be read" in line
