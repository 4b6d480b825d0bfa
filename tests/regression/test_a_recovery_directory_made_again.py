"""A recovery directory made again under its old name let finished outputs be overwritten."""

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir

from tests.integration.embedded import event, outputs, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory


def made_again(folder: Path) -> None:
    """Delete a directory and make it again, with the same inode, as ext4 and xfs give it."""
    inode = folder.stat().st_ino
    shutil.rmtree(folder)
    others: list[Path] = []
    folder.mkdir()
    for _ in range(1000):
        if folder.stat().st_ino == inode:
            break
        others.append(folder.rename(folder.parent / f"other-{len(others)}"))
        folder.mkdir()
    else:
        pytest.skip("this file system does not give an inode twice")
    init_db_dir(folder, 2)  # type: ignore[no-untyped-call]  # it is Rust's
    set_made(folder)


def set_made(folder: Path) -> None:
    """Let a directory's partitions say that they were made in a certain second.

    A quick machine makes a second directory within the second of the first one.
    """
    for path in folder.glob("part-*.sqlite3"):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE parts SET created_at = '2026-01-01 00:00:00'")


def test_finished_outputs_are_not_overwritten(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n" + event("b") + b"\n" + event("a") + b"\n")
    settings |= {"DEDUP_STATS_TOPIC": "on"}
    recovery = recovery_directory(tmp_path / "recovery")
    set_made(recovery)
    finish(Job(settings, tmp_path, recovery=recovery))
    before = outputs(tmp_path)
    statistics = (tmp_path / "out" / "stats.jsonl").read_bytes()

    made_again(recovery)
    (tmp_path / "in.jsonl").write_bytes(event("tuesday") + b"\n")
    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert "is there already and would be overwritten" in line
    assert outputs(tmp_path) == before
    assert (tmp_path / "out" / "stats.jsonl").read_bytes() == statistics


def test_a_run_killed_before_its_first_snapshot_begins_again(tmp_path: Path) -> None:
    lines = b"".join(event(f"e{number}") + b"\n" for number in range(200_000))
    settings = settings_for(tmp_path, lines)
    recovery = recovery_directory(tmp_path / "recovery")
    unique = tmp_path / "out" / "unique.jsonl"
    # No snapshot before its end.
    with Job(settings, tmp_path, recovery=recovery, snapshot_seconds=600) as job:
        job.wait_until(lambda: unique.exists() and unique.stat().st_size > 0)
        job.send(signal.SIGKILL)
        job.kill()
    # Nor does it matter where it was killed.
    (tmp_path / "out" / "late.jsonl").unlink()

    finish(Job(settings, tmp_path, recovery=recovery))

    assert outputs(tmp_path)["unique"] == lines
