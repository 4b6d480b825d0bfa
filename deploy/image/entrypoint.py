"""What the image starts: makes this process's recovery partition if there is none, then the job.

A cluster has one recovery partition for each process, each on the volume of its own.  Pieces of
another number of processes, left from before the cluster was made larger or smaller, are moved
aside: with DEDUP_GUARANTEE=exactly_once nothing is lost by that.
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

from flows.launch import Launch, read_launch

_JOB = "bytewax.run"


def main(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become a command; if it is the job, have its recovery partition ready.

    command: the program and its arguments.  environ: `BYTEWAX_*` variables.
    """
    if _JOB in command:
        prepare(read_launch(command[1:], environ))
    os.execvp(command[0], list(command))  # noqa: S606 - the point of it: signals reach the job


def prepare(launch: Launch) -> None:
    """Make the partition of this process unless it is there."""
    folder = launch.recovery
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob("part-*.sqlite3"))
    counts = set(map(_count, found))
    if counts == {launch.processes}:
        return
    if found:
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
    """Of how many partitions one is part, 0 if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT part_count FROM parts").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return 0


def _say(what: str) -> None:
    print(f"entrypoint: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
