"""What the image starts: makes this process's recovery partition if there is none, then the job.

A cluster has one recovery partition for each process, each on the volume of its own.  Pieces of
another number of processes, left from before the cluster was made larger or smaller, are moved
aside: with DEDUP_GUARANTEE=exactly_once on Kafka nothing is lost by that.  Elsewhere they are the
only copy of the keys, and the start is refused.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from bytewax.recovery import init_db_dir

from connectors.shutdown import exit_with_error
from flows.launch import Launch, read_launch
from flows.settings.load import load_settings
from operators.errors import DedupError, StateError

_JOB = "bytewax.run"
# What SQLite says of a file that never was a partition, or whose making was interrupted.
_NO_PARTITION = ("file is not a database", "no such table")


def main(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become a command; if it is the job, have its recovery partition ready.

    command: the program and its arguments.  environ: `BYTEWAX_*` variables.
    """
    if _JOB in command:
        try:
            prepare(read_launch(command[1:], environ), environ)
        except DedupError as error:
            exit_with_error(error)
    os.execvp(command[0], list(command))  # noqa: S606 - the point of it: signals reach the job


def prepare(launch: Launch, environ: Mapping[str, str]) -> None:
    """Make the partition of this process unless it is there.

    environ: the job's `DEDUP_*` variables.  Raises DedupError for partitions that
    cannot be read, and for some of another cluster that hold the only copy of the keys.
    """
    folder = launch.recovery
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob("part-*.sqlite3"))
    count_of = {path: _count(path) for path in found}
    counts = set(count_of.values())
    if counts == {launch.processes}:
        return
    if found:
        settings = load_settings(environ)
        if settings.embedded or settings.guarantee != "exactly_once":
            broken = [str(path) for path, count in count_of.items() if not count]
            if broken:
                msg = (
                    f"{', '.join(broken)} is no recovery partition: it is broken, or its making "
                    "was interrupted, and without transactions it is the only copy of the keys. "
                    "Put it back from a backup; or, if repeats of earlier records may pass as "
                    "unique, move it away and start again"
                )
                raise StateError(msg)
            msg = (
                f"the recovery partitions in {folder} are not those of {launch.processes} "
                "process(es), and without transactions they are the only copy of the keys. Start "
                "as many processes as before; or, if repeats of earlier records may pass as "
                "unique, move the partitions away and start again"
            )
            raise StateError(msg)
        aside = folder / f"of-{'-'.join(map(str, sorted(counts)))}-until-{time.time():.0f}"
        aside.mkdir()
        for path in folder.glob("part-*.sqlite3*"):
            path.rename(aside / path.name)
        _say(f"moved recovery partitions of another number of processes to {aside}")
    with tempfile.TemporaryDirectory(dir=folder) as whole:
        init_db_dir(Path(whole), launch.processes)  # type: ignore[no-untyped-call]  # it is Rust's
        mine = f"part-{launch.process}.sqlite3"
        Path(whole, mine).rename(folder / mine)
    _say(f"made recovery partition {launch.process} of {launch.processes} in {folder}")


def _count(path: Path) -> int:
    """Of how many partitions one is part, 0 if it is none that Bytewax has made.

    Raises StateError for one that cannot be read now, but may be another time.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT part_count FROM parts").fetchone()
    except sqlite3.Error as error:
        if any(text in str(error) for text in _NO_PARTITION):
            return 0
        msg = (
            f"the recovery partition {path} cannot be read: {error}. Is it in use, or is the disk "
            "at fault? Nothing was moved or made"
        )
        raise StateError(msg) from error
    return int(row[0]) if row else 0


def _say(what: str) -> None:
    print(f"entrypoint: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
