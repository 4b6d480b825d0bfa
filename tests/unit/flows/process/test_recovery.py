"""The error for an unusable recovery directory is one line that says what to do."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir

from flows.launch import Launch, read_launch
from flows.process.recovery import check_recovery_directory
from operators.errors import StateError


def launch(folder: Path | None, *, one_host: bool = True) -> Launch:
    return Launch(folder, 0, 1, 1, () if one_host else ("10.0.0.1:1", "10.0.0.2:1"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    init_db_dir(tmp_path, 3)  # type: ignore[no-untyped-call]  # it is Rust's
    return tmp_path


def test_a_whole_one_and_none_at_all(directory: Path) -> None:
    check_recovery_directory(launch(directory))
    check_recovery_directory(launch(None))


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"does not exist: mkdir -p .* && python -m bytewax.recov"):
        check_recovery_directory(launch(tmp_path / "nowhere"))


def test_one_without_partitions(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"has no partitions: .*python -m bytewax.recovery"):
        check_recovery_directory(launch(tmp_path))


def test_one_that_lacks_partitions(directory: Path) -> None:
    (directory / "part-0.sqlite3").unlink()
    (directory / "part-2.sqlite3").unlink()
    with pytest.raises(StateError, match=r"part-0.sqlite3, part-2.sqlite3 is missing.* 3$"):
        check_recovery_directory(launch(directory))


def test_partitions_of_two_sets(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    init_db_dir(other, 4)  # type: ignore[no-untyped-call]  # it is Rust's
    (other / "part-1.sqlite3").replace(directory / "part-1.sqlite3")
    with pytest.raises(StateError, match=r"not of one set"):
        check_recovery_directory(launch(directory))


def test_a_file_that_is_no_database(directory: Path) -> None:
    (directory / "part-1.sqlite3").write_bytes(b"no database, but long enough to be looked at" * 99)
    with pytest.raises(StateError, match=r"part-1.sqlite3 is no recovery partition"):
        check_recovery_directory(launch(directory))


def test_one_that_another_process_writes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was stopped in the middle of a write: Bytewax would panic."""
    monkeypatch.setattr("flows.process.recovery._LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(directory / "part-1.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match=r"part-1.sqlite3 is locked by another process"):
            check_recovery_directory(launch(directory))
        other.execute("ROLLBACK")
        check_recovery_directory(launch(directory))


def test_on_several_hosts_each_may_hold_some(directory: Path, tmp_path: Path) -> None:
    (directory / "part-0.sqlite3").unlink()
    check_recovery_directory(launch(directory, one_host=False))
    (tmp_path / "empty").mkdir()
    check_recovery_directory(launch(tmp_path / "empty", one_host=False))


@pytest.mark.parametrize(
    "addresses, one_host",
    [
        ("127.0.0.1:1;localhost:2;[::1]:3", True),
        ("127.0.0.1:1;10.0.0.2:2", False),
        ("dedup-0.dedup:9999;dedup-1.dedup:9999", False),
        (None, True),
    ],
)
def test_whether_all_processes_are_here(addresses: str | None, *, one_host: bool) -> None:
    words = [] if addresses is None else ["-a", addresses]
    assert read_launch(["flows.dedup", *words], {}).one_host is one_host
