"""An input file that had been replaced was read on from the middle of a line."""

import pickle
from pathlib import Path

import pytest

from connectors.files.source import LinesSource
from tests.integration.embedded import check, event, outputs, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory

FIRST = b"".join(event(f"monday-{number}") + b"\n" for number in range(200))
SECOND = b"".join(event(f"tuesday-{number}") + b"\n" for number in range(300))


def test_a_longer_file_of_the_same_name_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, FIRST)
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    before = outputs(tmp_path)
    (tmp_path / "new").write_bytes(SECOND)
    (tmp_path / "new").rename(tmp_path / "in.jsonl")

    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert f"DEDUP_INPUT_FILE={tmp_path / 'in.jsonl'} has other lines before byte" in line
    assert outputs(tmp_path) == before


@pytest.mark.parametrize("count", [1, 5, 200], ids=["short", "some", "more-than-is-compared"])
def test_a_copy_that_has_grown_is_the_same_file(tmp_path: Path, count: int) -> None:
    lines = FIRST.splitlines()[:count]
    settings = settings_for(tmp_path, b"\n".join(lines) + b"\n")
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    lines += SECOND.splitlines()
    (tmp_path / "in.jsonl").unlink()
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))

    finish(Job(settings, tmp_path, recovery=recovery))

    check(tmp_path, lines)


def test_the_place_is_known_however_often_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    position = None
    taken = 0
    for grown in range(1, 60):
        path.write_bytes(FIRST[: grown * len(FIRST) // 60].rpartition(b"\n")[0] + b"\n")
        part = LinesSource(str(path), resumable=True).build_part("source", "0", position)
        taken += sum(len(batch.records) for batch in part.next_batch())
        position = pickle.loads(pickle.dumps(part.snapshot()))  # noqa: S301 - our own
        part.close()
    assert position is not None
    assert position.byte == path.stat().st_size
    assert position.line == taken
