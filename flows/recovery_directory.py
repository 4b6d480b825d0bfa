"""The recovery directory, looked at before Bytewax does, which would panic."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from flows.launch import Launch
from operators.errors import StateError

# Whoever lives holds a lock for as long as the disk takes.
_LOCK_SECONDS = 10.0


def check_recovery_directory(launch: Launch) -> None:
    """Raise StateError, which says how to go on, for one that cannot be used.

    Where a cluster runs on several hosts each may hold some of the partitions:
    then only what is here is looked at.
    """
    folder = launch.recovery
    if folder is None:
        return
    if not folder.is_dir():
        msg = f"the recovery directory {folder} does not exist: {_make(folder, 'N')}"
        raise StateError(msg)
    found = sorted(folder.glob("part-*.sqlite3"))
    if not found and launch.one_host:
        msg = f"the recovery directory {folder} has no partitions: {_make(folder, 'N')}"
        raise StateError(msg)
    counts = [_partition(path) for path in found]
    for path in found:
        _check_lock(path)
    if not launch.one_host or not counts:
        return
    _, count = counts[0]
    missing = set(range(count)) - {index for index, _ in counts}
    if missing or any(other != count for _, other in counts):
        names = ", ".join(f"part-{index}.sqlite3" for index in sorted(missing))
        what = f"{names} is missing" if missing else "its partitions are not of one set"
        msg = (
            f"the recovery directory {folder} cannot be used: {what}. Put it back from a backup, "
            "or begin an empty directory: with DEDUP_GUARANTEE=exactly_once nothing is lost by "
            f"that. Move {folder} away and {_make(folder, str(count))}"
        )
        raise StateError(msg)


def _make(folder: Path, count: str) -> str:
    return f"mkdir -p {folder} && python -m bytewax.recovery {folder} {count}"


def _partition(path: Path) -> tuple[int, int]:
    """Index of a partition, and how many there are."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            index, count = database.execute("SELECT part_index, part_count FROM parts").fetchone()
    except (sqlite3.Error, TypeError) as error:
        msg = f"{path} is no recovery partition, or cannot be read: {error}"
        raise StateError(msg) from error
    return int(index), int(count)


def _check_lock(path: Path) -> None:
    """Raise StateError if the partition cannot be written."""
    try:
        with closing(
            sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
        ) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        msg = f"{path} cannot be written: {error}"
        if "locked" in str(error):
            msg = (
                f"{path} is locked by another process, for longer than {_LOCK_SECONDS:.0f} s: an "
                "old job that was stopped, or whose disk hangs? End it with kill -9 and start "
                "again; with DEDUP_GUARANTEE=exactly_once nothing is lost by that"
            )
        raise StateError(msg) from error
