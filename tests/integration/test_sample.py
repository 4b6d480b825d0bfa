"""The sample that `make run` runs: twice in a row, and its failures."""

import sys
from pathlib import Path

import pytest

from flows import sample
from flows.sample import SampleError


def test_a_second_run_works_and_leaves_other_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    # Settings in the user's environment do not apply to the sample.
    monkeypatch.setenv("DEDUP_KEYS", "nonsense")
    (tmp_path / "other-file").touch()

    for _ in range(2):
        assert sample.main() == 0
        report = capsys.readouterr().out
        assert "Every record is answered exactly once, as it should be" in report
        for verdict in ("unique", "duplicate", "late", "invalid"):
            assert f"sample/out/{verdict}.jsonl" in report
    assert (tmp_path / "other-file").exists()


def test_a_folder_that_the_sample_did_not_make_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "precious").touch()

    assert sample.main() == 1
    assert (tmp_path / "sample" / "precious").exists()
    error = capsys.readouterr().err
    assert "was not made by the sample" in error
    assert error.count("\n") == 1


def test_a_job_with_wrong_answers_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything_is_unique(folder: Path, out: Path, variables: dict[str, str]) -> None:
        out.mkdir()
        (out / "unique.jsonl").write_bytes((folder / "events.jsonl").read_bytes())
        for verdict in ("duplicate", "late", "invalid"):
            (out / f"{verdict}.jsonl").touch()

    monkeypatch.setattr(sample, "_run_job", everything_is_unique)

    with pytest.raises(SampleError, match="unique records repeat the key") as raised:
        sample.run(tmp_path / "sample")
    assert "\n" not in str(raised.value)


def test_a_job_that_fails_is_reported_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no room\\n\\n')"]
    wait = sample._wait

    def fail(command: list[str], environ: dict[str, str], folder: Path, out: Path) -> None:
        wait(failing, environ, folder, out)

    monkeypatch.setattr(sample, "_wait", fail)

    with pytest.raises(SampleError, match=r"failed \(status 1\): no room \(see .*job\.log\)"):
        sample.run(tmp_path / "sample")
