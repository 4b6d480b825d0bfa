"""A missing output was made before the error; a link that led nowhere was written through."""

from pathlib import Path

from tests.integration.embedded import event, outputs, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory


def test_an_output_that_is_gone_is_not_made(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n" + event("a") + b"\n")
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    before = outputs(tmp_path)
    unique = tmp_path / "out" / "unique.jsonl"
    unique.rename(tmp_path / "unique.jsonl")

    for _ in range(2):
        line = fail(Job(settings, tmp_path, recovery=recovery))
        assert f"{unique} is gone" in line
        assert not unique.exists()
    (tmp_path / "unique.jsonl").rename(unique)
    finish(Job(settings, tmp_path, recovery=recovery))
    assert outputs(tmp_path) == before


def test_an_empty_output_that_is_gone_is_made_again(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n")
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    before = outputs(tmp_path)
    (tmp_path / "out" / "late.jsonl").unlink()

    finish(Job(settings, tmp_path, recovery=recovery))

    assert outputs(tmp_path) == before


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n")
    for name in ("unique.jsonl", "stats.jsonl"):
        folder = tmp_path / name.removesuffix(".jsonl")
        folder.mkdir()
        (folder / name).symlink_to(tmp_path / "elsewhere")
        own = settings | {"DEDUP_OUTPUT_DIR": str(folder), "DEDUP_STATS_TOPIC": "on"}

        line = fail(Job(own, tmp_path))

        assert f"{folder / name} is there already" in line
        assert not (tmp_path / "elsewhere").exists()
