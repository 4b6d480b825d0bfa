"""`python -m flows.sample`: the main job on a small sample, in its own folder.

`make run` calls this.  It generates labelled events, runs the job over them in embedded
mode with recovery, audits every answer, and shows the results and their files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from flows.cli import app
from flows.cli.audit.command import audit
from flows.cli.audit.labels import label_rows, label_table
from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
from flows.cli.progress import Progress
from flows.settings.load import load_settings
from flows.settings.model import Settings
from operators.errors import DedupError
from operators.verdicts import VERDICTS

FOLDER = Path("sample")
RECORDS = 20_000
RECOVERY_PARTITIONS = 2
# A folder with this file was made by this module, so it may be removed.
_MARKER = ".made-by-flows.sample"
_STREAM = {
    "records": RECORDS,
    "seed": 1,
    "duplicates": 0.15,
    "same-content": 0.02,
    "late": 0.02,
    "invalid": 0.01,
    # Seconds between events.  20,000 events take 2.5 hours of event time: several windows.
    "step": 0.45,
}
_MEANINGS = (
    "first sighting of their event_id",
    "event_id seen in the hour before",
    "too far behind the watermark",
    "cannot be read as events",
)
_POLL_SECONDS = 0.1
# A run takes a second or two on any machine; longer means that it hangs.
_TIMEOUT_SECONDS = 110.0


class SampleError(DedupError):
    """The sample run failed."""


def main() -> int:
    """Run the sample; return 0, or 1 after one line on stderr."""
    try:
        run()
    except DedupError as error:
        print(f"sample: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sample: interrupted", file=sys.stderr)
        return 130
    return 0


def run(folder: Path = FOLDER) -> None:
    """Run the sample.

    folder: replaced if an earlier run made it.  Raises SampleError, or another DedupError.
    """
    start = time.monotonic()
    _make_folder(folder)
    source, labels, out = folder / "events.jsonl", folder / "labels.jsonl", folder / "out"
    options = [f"--{name}={value}" for name, value in _STREAM.items()]
    status = app.main(["generate", *options, f"--output={source}", f"--labels={labels}"])
    if status:
        msg = f"the events could not be generated (status {status})"
        raise SampleError(msg)
    # Settings in the user's environment do not apply to the sample.
    variables = {"DEDUP_INPUT_FILE": str(source), "DEDUP_OUTPUT_DIR": str(out)}
    settings = load_settings(variables)
    _run_job(folder, out, variables)
    proof = audit(settings, AuditOptions(labels=labels))
    _report(proof, settings, time.monotonic() - start)


def _make_folder(folder: Path) -> None:
    try:
        if folder.exists():
            if not (folder / _MARKER).exists():
                msg = (
                    f"{folder.absolute()} exists and was not made by the sample: move it away, or "
                    "run the sample in another folder"
                )
                raise SampleError(msg)
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / _MARKER).touch()
        (folder / "recovery").mkdir()
    except OSError as error:
        msg = f"cannot replace {folder.absolute()}: {error.strerror}"
        raise SampleError(msg) from error


def _run_job(folder: Path, out: Path, variables: dict[str, str]) -> None:
    """Run the job until it has read the whole file."""
    recovery = str(folder / "recovery")
    prefixes = ("DEDUP_", "BYTEWAX_")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(prefixes)}
    python = [sys.executable, "-m"]
    _wait([*python, "bytewax.recovery", recovery, str(RECOVERY_PARTITIONS)], environ, folder, out)
    job = [*python, "bytewax.run", "flows.dedup", "-r", recovery, "-s", "2", "-b", "0"]
    _wait(job, environ | variables, folder, out)


def _wait(command: list[str], environ: dict[str, str], folder: Path, out: Path) -> None:
    """Run a command to its end and show progress.  Raises SampleError if it fails."""
    log = folder / "job.log"
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    shown = 0
    with log.open("ab") as stderr, Progress("deduplicating, bytes written") as progress:
        process = subprocess.Popen(command, env=environ, stdout=stderr, stderr=stderr)
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    msg = f"{' '.join(command[1:4])} did not end within {_TIMEOUT_SECONDS:.0f} s"
                    raise SampleError(msg)
                written = sum(file.stat().st_size for file in out.glob("*.jsonl"))
                progress.add(written - shown)
                shown = written
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        lines = log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
        msg = f"{' '.join(command[1:4])} failed (status {process.returncode}): {last} (see {log})"
        raise SampleError(msg)


def _report(proof: Proof, settings: Settings, seconds: float) -> None:
    rows = label_rows(proof.table, settings)
    total = len(proof.table)
    print(f"{'verdict':<11}{'records':>9}{'share':>8}  {'where':<29}what they are")
    for code, (verdict, meaning) in enumerate(zip(VERDICTS, _MEANINGS, strict=True)):
        count = proof.answered.get(code, 0)
        path = settings.output_dir / f"{verdict}.jsonl"
        print(f"{verdict:<11}{count:>9,}{count / max(total, 1):>8.1%}  {path!s:<29}{meaning}")
    print(f"{'all':<11}{total:>9,}{1:>8.1%}  {settings.input_file}")
    print("\nCompared with what was generated:")
    for line in label_table(rows):
        print(line)
    if proof.findings:
        finding, example = list(proof.findings.lines())[:2]
        msg = f"the outputs do not add up: {finding}{example[1:]}"
        raise SampleError(msg)
    if wrong := [row.label for row in rows if row.rate < 1]:
        msg = f"not all verdicts are as expected: {', '.join(wrong)}"
        raise SampleError(msg)
    print(f"\nEvery record is answered exactly once, as it should be ({seconds:.1f} s).")


if __name__ == "__main__":
    sys.exit(main())
