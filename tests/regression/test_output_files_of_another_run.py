"""A restart cut output files that were not its own, with status 0 and no word."""

import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.files.recoverable_files import OutputFiles, WrittenFiles
from operators.errors import SinkError
from tests.integration.embedded import check, event, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory

NAMES = ("a", "b")
MARKER = ".marker"


def lines_of(name: str, count: int) -> list[bytes]:
    return [event(f"{name}-{number}") for number in range(count)]


def run(folder: Path, name: str, count: int) -> tuple[dict[str, str], Path]:
    """One job in a folder, run to its end: its settings and its recovery directory."""
    folder.mkdir()
    settings = settings_for(folder, b"\n".join(lines_of(name, count)) + b"\n")
    settings |= {"DEDUP_STATS_TOPIC": "on"}
    recovery = recovery_directory(folder / "recovery")
    finish(Job(settings, folder, recovery=recovery))
    return settings, recovery


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["other", "same"])
def test_another_jobs_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Outputs of the same lines begin alike, but they are still another job's."""
    settings, recovery = run(tmp_path / "own", "same", 10)
    run(tmp_path / "other", name, 1000)
    other = tmp_path / "other" / "out"
    before = contents(other)

    line = fail(Job(settings | {"DEDUP_OUTPUT_DIR": str(other)}, tmp_path, recovery=recovery))

    assert f"DEDUP_OUTPUT_DIR={other} was begun with another recovery directory" in line
    assert contents(other) == before
    finish(Job(settings, tmp_path, recovery=recovery))  # the right folder is unchanged


@pytest.mark.parametrize("name", ["unique.jsonl", "stats.jsonl"])
def test_a_longer_file_in_the_place_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    settings, recovery = run(tmp_path / "job", "e", 50)
    out = tmp_path / "job" / "out"
    (out / name).unlink()
    (out / name).write_bytes(b"precious\n" * 5000)
    before = contents(out)

    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert f"{out / name} has other lines before byte" in line
    assert contents(out) == before


def moved(job: Path) -> Path:
    return job.rename(job.with_name("moved"))


def copied(job: Path) -> Path:
    copy = Path(shutil.copytree(job, job.with_name("copy")))
    shutil.rmtree(job)
    return copy


def linked(job: Path) -> Path:
    (job / "out").rename(job.parent / "disk")
    (job / "out").symlink_to(job.parent / "disk")
    return job


def restored_without_its_marker(job: Path) -> Path:
    for marker in (job / "out").glob(".*"):
        marker.unlink()
    return job


@pytest.mark.parametrize("change", [moved, copied, linked, restored_without_its_marker])
def test_our_own_files_go_on_wherever_they_are(
    tmp_path: Path, change: Callable[[Path], Path]
) -> None:
    run(tmp_path / "job", "e", 2000)
    job = change(tmp_path / "job")
    # Written after the last snapshot.
    with (job / "out" / "unique.jsonl").open("ab") as file:
        file.write(b'{"half')
    lines = [*lines_of("e", 2000), event("new"), event("e-1")]

    settings = settings_for(job, b"\n".join(lines) + b"\n") | {"DEDUP_STATS_TOPIC": "on"}
    finish(Job(settings, job, recovery=job / "recovery"))
    finish(Job(settings, job, recovery=job / "recovery"))

    check(job, lines)


def test_a_run_killed_after_snapshots_of_empty_files_goes_on(tmp_path: Path) -> None:
    lines = lines_of("e", 20_000)
    settings = settings_for(tmp_path, b"")
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    unique = tmp_path / "out" / "unique.jsonl"
    with Job(settings, tmp_path, recovery=recovery, snapshot_seconds=600) as job:
        job.wait_until(lambda: unique.stat().st_size > 0)
        job.send(signal.SIGKILL)
        job.kill()

    finish(Job(settings, tmp_path, recovery=recovery))

    check(tmp_path, lines)


def written(folder: Path, resume: WrittenFiles | None, **texts: bytes) -> WrittenFiles:
    """One run that makes a snapshot, as Bytewax keeps it."""
    files = OutputFiles(folder, NAMES, MARKER, f"{folder}\n", resume)
    for name, text in texts.items():
        files.write(name, text)
    snapshot = pickle.dumps(files.snapshot())
    files.close()
    assert b"connectors" not in snapshot  # so modules may be renamed
    restored: WrittenFiles = pickle.loads(snapshot)  # noqa: S301 - our own
    return restored


def refused(folder: Path, resume: WrittenFiles, match: str) -> None:
    before = contents(folder)
    with pytest.raises(SinkError, match=match):
        OutputFiles(folder, NAMES, MARKER, "own\n", resume)
    after = contents(folder)
    after.setdefault(MARKER, b"")
    assert after == {MARKER: b"", **before}


def test_an_empty_file_of_the_snapshot_has_nothing_to_compare(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    snapshot = written(own, None)
    written(other, None, a=b"other\n")
    refused(other, snapshot, "was begun with another recovery directory")
    # Without the marker nothing says whose folder it is.
    (other / MARKER).unlink()
    refused(other, snapshot, r"other/a has 6 bytes, but it was empty .*: move the file away")
    (other / "a").unlink()
    assert written(other, snapshot, a=b"own\n")["begun"] == snapshot["begun"]

    written(own, snapshot, a=b"written and killed\n")
    written(own, snapshot, a=b"again\n")
    assert (own / "a").read_bytes() == b"again\n"


def test_all_files_are_looked_at_before_any_is_cut_or_made(tmp_path: Path) -> None:
    snapshot = written(tmp_path, None, a=b"", b=b"two\n")
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_bytes(b"owt\nmore\n")
    refused(tmp_path, snapshot, "b has other lines before byte 4")
    assert not (tmp_path / "a").exists()
    (tmp_path / "a").write_bytes(b"after the snapshot\n")
    refused(tmp_path, snapshot, "b has other lines before byte 4")


def test_the_place_is_known_however_it_was_written(tmp_path: Path) -> None:
    snapshot = None
    whole = b""
    for size in (1, 10, 4095, 4096, 4097, 5, 9000, 4090, 3, 3, 3):
        text = bytes((size + byte) % 251 for byte in range(size))
        whole += text
        snapshot = written(tmp_path, snapshot, a=text, b=text[:1])
        with (tmp_path / "a").open("ab") as file:
            file.write(b"after the snapshot")
    assert snapshot is not None
    assert snapshot["files"]["a"][0] == len(whole)
    written(tmp_path, snapshot)
    assert (tmp_path / "a").read_bytes() == whole
