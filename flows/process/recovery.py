"""Checks the recovery directory before Bytewax opens it, since Bytewax would panic."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.files.lock import open_locked
from flows.launch import Launch
from flows.process.snapshot_classes import unknown_classes
from operators.errors import StateError

# A running job holds a lock for one write to the disk only.
_LOCK_SECONDS = 10.0
_PARTITIONS = "part-*.sqlite3"
_LOCK = ".lock-"
_IDENTITY = ".identity"
# A pickle names the class of its object first; the keys of a lane may be hundreds of megabytes.
_HEAD_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class _Partition:
    """index: from 0.  count: number of partitions of its set."""

    index: int
    count: int


def check_recovery_directory(launch: Launch) -> None:
    """Raise StateError, which says what to do, for a directory that cannot be used.

    If the cluster runs on several hosts, each may hold some of the partitions: then only
    those here are checked.  Changes nothing in the directory.
    """
    folder = launch.recovery
    if folder is None:
        return
    if not folder.is_dir():
        msg = f"the recovery directory {folder} does not exist: {_make(folder, 'N')}"
        raise StateError(msg)
    paths = sorted(folder.glob(_PARTITIONS))
    if not paths and launch.one_host:
        msg = f"the recovery directory {folder} has no partitions: {_make(folder, 'N')}"
        raise StateError(msg)
    partitions = [_partition(path) for path in paths]
    for path, partition in zip(paths, partitions, strict=True):
        # Before the check for a lock, which opens the file to write.
        _check_version(path, partition)
        _check_lock(path)
    if not launch.one_host or not partitions:
        return
    count = partitions[0].count
    missing = set(range(count)) - {partition.index for partition in partitions}
    if missing or any(partition.count != count for partition in partitions):
        names = ", ".join(f"part-{index}.sqlite3" for index in sorted(missing))
        problem = f"{names} is missing" if missing else "its partitions are not of one set"
        msg = (
            f"the recovery directory {folder} cannot be used: {problem}. Put it back from a "
            "backup, or begin an empty directory: with DEDUP_GUARANTEE=exactly_once nothing is "
            f"lost by that. Move {folder} away and {_make(folder, str(count))}"
        )
        raise StateError(msg)


def hold_recovery_directory(launch: Launch) -> None:
    """Keep other runs away from the recovery directory until this process ends.

    The embedded mode needs this: nothing else protects its files and snapshots.  A second run
    would add its own epochs to those of the first, and a restart would read them.  Processes
    of a cluster share the directory: each has its own lock, and the first process also checks
    the locks of a larger cluster.  `check_recovery_directory` reports a missing directory.
    Raises StateError.
    """
    folder = launch.recovery
    if folder is None or not folder.is_dir():
        return
    processes = {launch.process}
    if launch.process == 0:
        locks = (path.name.removeprefix(_LOCK) for path in folder.glob(f"{_LOCK}*"))
        others = {int(text) for text in locks if text.isdecimal()}
        processes |= others - set(range(launch.processes))
    for process in sorted(processes):
        path = folder / f"{_LOCK}{process}"
        try:
            is_held = open_locked(path) is not None
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror}"
            raise StateError(msg) from error
        if not is_held:
            msg = (
                f"another run is using the recovery directory {folder}: wait until it has ended, "
                "or end it, or start this one with another recovery directory and output folder"
            )
            raise StateError(msg)


def recovery_identity(folder: Path) -> str:
    """Return a text that tells a recovery directory from every other, even of the same name.

    A file system may give the inode of a deleted directory to the next one, and both may be made
    within a second.  So the first run puts a file with a random token into the directory.
    Raises StateError if that cannot be written.
    """
    path = folder / _IDENTITY
    try:
        if not path.exists():
            _write_token(path)
        return f"{folder.resolve()} {folder.stat().st_ino} {path.read_text()}\n"
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be written or read: {error}"
        raise StateError(msg) from error


def _write_token(path: Path) -> None:
    """Make the file whole or not at all; several processes may do so at once."""
    own = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    own.write_text(secrets.token_hex(16))
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: nearly the same
        if not path.exists():
            own.replace(path)
            return
    own.unlink()


def _make(folder: Path, count: str) -> str:
    return f"mkdir -p {folder} && python -m bytewax.recovery {folder} {count}"


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a partition to read it.  Raises StateError for what is none."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield database
    except (sqlite3.Error, TypeError) as error:
        msg = f"{path} is no recovery partition, or cannot be read: {error}"
        raise StateError(msg) from error


def _partition(path: Path) -> _Partition:
    with _open(path) as database:
        index, count = database.execute("SELECT part_index, part_count FROM parts").fetchone()
    return _Partition(int(index), int(count))


def _check_version(path: Path, partition: _Partition) -> None:
    """Raise StateError if the snapshots are of another version: Bytewax would panic."""
    with _open(path) as database:
        # Every row: a lane that has written nothing yet has a state of no class, None.
        heads = database.execute(
            "SELECT DISTINCT substr(ser_change, 1, ?) FROM snaps WHERE ser_change IS NOT NULL",
            (_HEAD_BYTES,),
        )
        unknown = [name for (head,) in heads for name in unknown_classes(head)]
    if unknown:
        folder = path.parent
        msg = (
            f"the recovery directory {folder} was written by another version of this job, and "
            f"this one cannot read it (it holds {unknown[0]}). With Kafka and "
            "DEDUP_GUARANTEE=exactly_once nothing is lost without it: move it away and "
            f"{_make(folder, str(partition.count))}. Otherwise go on with the version that wrote "
            "it, or begin again with another recovery directory and output folder"
        )
        raise StateError(msg)


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
                f"{path} is locked by another process, for more than {_LOCK_SECONDS:.0f} s: an "
                "old job that was stopped, or whose disk hangs? End it with kill -9 and start "
                "again; with DEDUP_GUARANTEE=exactly_once nothing is lost by that"
            )
        raise StateError(msg) from error
