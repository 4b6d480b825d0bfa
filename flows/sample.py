"""`python -m flows.sample`: the main job on a small sample, in a folder of its own.

What `make run` does: generate events of which is known what they are, run the job
over them in embedded mode with recovery, check every answer, and show what came
out and where.
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
# Proof that a folder is ours to remove.
_MARKER = ".made-by-flows.sample"
_STREAM = {
    "records": RECORDS,
    "seed": 1,
    "duplicates": 0.15,
    "same-content": 0.02,
    "late": 0.02,
    "invalid": 0.01,
    # Two and a half hours of event time: several windows.
    "step": 0.45,
}
_MEANINGS = (
    "first sighting of their event_id",
    "event_id seen in the hour before",
    "too far behind the watermark",
    "cannot be read as events",
)
_POLL_SECONDS = 0.1
# A second or two on any machine; more means that something hangs.
_TIMEOUT_SECONDS = 110.0


class SampleError(DedupError):
    """The sample did not work out."""


def main() -> int:
    """Run the sample and return 0; 1 after one line on stderr if anything is wrong."""
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

    folder: made anew; one that is there must have been made by this.
    Raises SampleError, or another DedupError, for whatever goes wrong.
    """
    begun = time.monotonic()
    _make_folder(folder)
    source, labels, out = folder / "events.jsonl", folder / "labels.jsonl", folder / "out"
    words = [f"--{name}={value}" for name, value in _STREAM.items()]
    status = app.main(["generate", *words, f"--output={source}", f"--labels={labels}"])
    if status:
        msg = f"no sample could be generated (status {status})"
        raise SampleError(msg)
    # Settings of the surroundings are not the sample's.
    own = {"DEDUP_INPUT_FILE": str(source), "DEDUP_OUTPUT_DIR": str(out)}
    settings = load_settings(own)
    _run_job(folder, out, own)
    proof = audit(settings, AuditOptions(labels=labels))
    _report(proof, settings, time.monotonic() - begun)


def _make_folder(folder: Path) -> None:
    try:
        if folder.exists():
            if not (folder / _MARKER).exists():
                msg = (
                    f"{folder.absolute()} is there and was not made by this: move it away, or run "
                    "the sample somewhere else"
                )
                raise SampleError(msg)
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / _MARKER).touch()
        (folder / "recovery").mkdir()
    except OSError as error:
        msg = f"cannot make {folder.absolute()} anew: {error.strerror}"
        raise SampleError(msg) from error


def _run_job(folder: Path, out: Path, own: dict[str, str]) -> None:
    """Run the job until it has read the file to its end."""
    recovery = str(folder / "recovery")
    ours = ("DEDUP_", "BYTEWAX_")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    python = [sys.executable, "-m"]
    _wait([*python, "bytewax.recovery", recovery, str(RECOVERY_PARTITIONS)], environ, folder, out)
    job = [*python, "bytewax.run", "flows.dedup", "-r", recovery, "-s", "2", "-b", "0"]
    _wait(job, {**environ, **own}, folder, out)


def _wait(command: list[str], environ: dict[str, str], folder: Path, out: Path) -> None:
    """Run a command to its end, with progress.  Raises SampleError unless it ends well."""
    log = folder / "job.log"
    until = time.monotonic() + _TIMEOUT_SECONDS
    shown = 0
    with log.open("ab") as stderr, Progress("deduplicating, bytes written") as progress:
        process = subprocess.Popen(command, env=environ, stdout=stderr, stderr=stderr)
        try:
            while process.poll() is None:
                if time.monotonic() > until:
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
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
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
        what, first = list(proof.findings.lines())[:2]
        msg = f"the outputs do not add up: {what}{first[1:]}"
        raise SampleError(msg)
    if wrong := [row.label for row in rows if row.rate < 1]:
        msg = f"not all verdicts are as expected: {', '.join(wrong)}"
        raise SampleError(msg)
    print(f"\nEvery record is answered exactly once, as it should be ({seconds:.1f} s).")


if __name__ == "__main__":
    sys.exit(main())
