"""The recovery directory: lost, in part or whole, and on a full disk."""

import errno
import shutil
import subprocess
from pathlib import Path

from tests.drills.drill_scene import Scale, Stage, expect

_MOUNT_BYTES = 24 * 1024 * 1024
_END_SECONDS = 60.0


def lost_directory(stage: Stage, scale: Scale) -> None:
    """The whole recovery directory is gone, or what was in it."""
    for _ in range(max(1, scale.times // 3)):
        with stage.start() as job:
            stage.run_on(job)
            job.kill()
        stage.fault()
        shutil.rmtree(stage.recovery)
        stage.make_recovery()


def lost_partition(stage: Stage, scale: Scale) -> None:
    """One partition of it is gone: an error says how to go on; done so, nothing is lost."""
    _ = scale
    with stage.start() as job:
        stage.run_on(job)
        job.kill()
    stage.fault()
    (stage.recovery / "part-1.sqlite3").unlink()
    with stage.start() as job:
        [ended] = job.wait()
    expect(ended.status == 1, f"a job with half a recovery directory: {ended}")
    for words in ("part-1.sqlite3 is missing", "python -m bytewax.recovery"):
        expect(words in ended.error, f"{words!r} is not in {ended.error!r}")
    shutil.rmtree(stage.recovery)
    stage.make_recovery()


def full_disk(stage: Stage, scale: Scale) -> None:
    """The disk under the recovery directory is full: the job ends; with room again it goes on."""
    _ = scale
    shutil.rmtree(stage.recovery)
    stage.recovery.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_MOUNT_BYTES}", "tmpfs", str(stage.recovery)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        stage.notes.append(f"NOT RUN: no tmpfs may be mounted here: {mounted.stderr.strip()}")
        stage.make_recovery()
        return
    try:
        stage.make_recovery()
        filler = stage.recovery / "filler"
        with stage.start() as job:
            stage.run_on(job)
            _fill(filler)
            stage.fault()
            [ended] = job.wait(_END_SECONDS)
        expect(ended.status != 0, f"a full disk should end the job: {ended.status}")
        with stage.start() as job:  # still full
            [ended] = job.wait(_END_SECONDS)
        stage.fault()
        expect(ended.status != 0, f"a full disk should end the job: {ended.status}")
        filler.unlink()
        with stage.start() as job:
            stage.run_on(job)
            job.kill()
        stage.fault()
    finally:
        subprocess.run(["umount", str(stage.recovery)], check=True)
    stage.notes.append("after the full disk, the directory was lost too")
    stage.make_recovery()


def _fill(filler: Path) -> None:
    chunk = bytes(65_536)
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                if len(chunk) == 1:
                    return
                chunk = chunk[: len(chunk) // 2]
