"""The recovery directory, looked at before Bytewax does, which would panic."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from connectors.files.lock import open_locked
from flows.launch import Launch
from operators.errors import StateError

# Whoever lives holds a lock for as long as the disk takes.
_LOCK_SECONDS = 10.0
_PARTITIONS = "part-*.sqlite3"
_LOCK = ".lock-"


@dataclass(frozen=True, slots=True)
class _Partition:
    """index: from 0.  count: of how many it is one.  made: when, as text."""

    index: int
    count: int
    made: str


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
    found = sorted(folder.glob(_PARTITIONS))
    if not found and launch.one_host:
        msg = f"the recovery directory {folder} has no partitions: {_make(folder, 'N')}"
        raise StateError(msg)
    counts = [_partition(path) for path in found]
    for path in found:
        _check_lock(path)
    if not launch.one_host or not counts:
        return
    count = counts[0].count
    missing = set(range(count)) - {one.index for one in counts}
    if missing or any(one.count != count for one in counts):
        names = ", ".join(f"part-{index}.sqlite3" for index in sorted(missing))
        what = f"{names} is missing" if missing else "its partitions are not of one set"
        msg = (
            f"the recovery directory {folder} cannot be used: {what}. Put it back from a backup, "
            "or begin an empty directory: with DEDUP_GUARANTEE=exactly_once nothing is lost by "
            f"that. Move {folder} away and {_make(folder, str(count))}"
        )
        raise StateError(msg)


def hold_recovery_directory(launch: Launch) -> None:
    """Keep other runs away from the recovery directory until this process ends.

    For the embedded mode, whose files and snapshots have no other protection: a second
    run would put its own epochs beside those of the first, and a restart would read
    them.  Processes of one cluster share the directory: each has a lock of its own, and
    the first also looks for what is left of a larger cluster.  A directory that is not
    there is left to `check_recovery_directory`.  Raises StateError.
    """
    folder = launch.recovery
    if folder is None or not folder.is_dir():
        return
    numbers = {launch.process}
    if launch.process == 0:
        left = (path.name.removeprefix(_LOCK) for path in folder.glob(f"{_LOCK}*"))
        numbers |= {int(text) for text in left if text.isdecimal()} - set(range(launch.processes))
    for number in sorted(numbers):
        path = folder / f"{_LOCK}{number}"
        try:
            held = open_locked(path) is not None
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror}"
            raise StateError(msg) from error
        if not held:
            msg = (
                f"another run is using the recovery directory {folder}: wait until it has ended, "
                "or end it, or start this one with another recovery directory and output folder"
            )
            raise StateError(msg)


def recovery_identity(folder: Path) -> str:
    """Tell a recovery directory from any other, also from a later one of the same name.

    A file system gives the inode of a directory that was deleted to the next one; so
    the times at which its partitions were made belong to it.
    """
    made = " ".join(_partition(path).made for path in sorted(folder.glob(_PARTITIONS)))
    return f"{folder.resolve()} {folder.stat().st_ino} {made}\n"


def _make(folder: Path, count: str) -> str:
    return f"mkdir -p {folder} && python -m bytewax.recovery {folder} {count}"


def _partition(path: Path) -> _Partition:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            index, count, made = database.execute(
                "SELECT part_index, part_count, created_at FROM parts"
            ).fetchone()
    except (sqlite3.Error, TypeError) as error:
        msg = f"{path} is no recovery partition, or cannot be read: {error}"
        raise StateError(msg) from error
    return _Partition(int(index), int(count), str(made))


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
