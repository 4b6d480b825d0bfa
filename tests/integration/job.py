"""The job as its users start it: `python -m bytewax.run flows.dedup`, in processes of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bytewax.recovery import init_db_dir

from deploy.kafka.ports import free_ports
from deploy.kafka.scoped import Scoped

ROOT: Final = Path(__file__).resolve().parents[2]
# A start takes a second or two; a machine that builds something else meanwhile, many.
SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Ended:
    """How one process ended.  status: negative for the signal that killed it."""

    status: int
    stderr: str

    @property
    def error(self) -> str:
        """The one line of an error that a user can fix; fails if there is none, or more."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("dedup: ")]
        assert len(lines) == 1, self.stderr
        assert "Traceback" not in self.stderr, self.stderr
        assert "panicked" not in self.stderr, self.stderr
        return lines[0]


class Job(Scoped):
    """One run of the job; as a context manager nothing of it is left at the end.

    settings: `DEDUP_*` variables; those of the caller's environment do not count.
    folder: where stderr is kept.  processes, workers: of the cluster, and of each process.
    recovery: the recovery directory.  snapshot_seconds: whole seconds, length of an epoch.
    stdin: what standard input reads; a closed one without.
    code: the tree that has the job's packages.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        folder: Path,
        *,
        processes: int = 1,
        workers: int = 1,
        recovery: Path | None = None,
        snapshot_seconds: int | None = 1,
        stdin: Path | None = None,
        code: Path = ROOT,
    ) -> None:
        self._code = code
        self._environ = (
            {
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("DEDUP_", "BYTEWAX_"))
            }
            | {"PYTHONFAULTHANDLER": "1"}
            | dict(settings)
        )
        self._stdin = stdin
        self._commands = _commands(processes, workers, recovery, snapshot_seconds)
        run = sum(1 for _ in folder.glob("*.stderr"))
        self._stderr = [folder / f"{run:03d}-{number}.stderr" for number in range(processes)]
        self._running: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start all processes."""
        try:
            for command, stderr in zip(self._commands, self._stderr, strict=True):
                with stderr.open("wb") as log, (self._stdin or Path(os.devnull)).open("rb") as text:
                    self._running.append(
                        subprocess.Popen(
                            command,
                            cwd=self._code,
                            env=self._environ,
                            stdin=text,
                            stdout=subprocess.DEVNULL,
                            stderr=log,
                        )
                    )
        except BaseException:
            self.kill()
            raise

    def end(self) -> None:
        """Kill all processes that are left."""
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether any process is still running."""
        return any(process.poll() is None for process in self._running)

    @property
    def ended(self) -> dict[int, int]:
        """Number of each process that is not running any more → its status."""
        polled = {number: process.poll() for number, process in enumerate(self._running)}
        return {number: status for number, status in polled.items() if status is not None}

    @property
    def stderr(self) -> str:
        """What all processes have written to stderr so far."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self._stderr)

    def send(self, what: signal.Signals, processes: Sequence[int] | None = None) -> None:
        """Send a signal, to all processes unless numbers are given."""
        for number, process in enumerate(self._running):
            if processes is None or number in processes:
                process.send_signal(what)  # to none that has been waited for

    def kill(self, processes: Sequence[int] | None = None) -> None:
        """End processes as `kill -9` does, and wait until they are gone."""
        self.send(signal.SIGKILL, processes)
        for number, process in enumerate(self._running):
            if processes is None or number in processes:
                process.wait()

    def wait(self, seconds: float = SECONDS) -> list[Ended]:
        """Wait until all processes have ended; fails if they do not in time."""
        deadline = time.monotonic() + seconds
        try:
            for process in self._running:
                process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._show_threads()
            message = f"the job did not end within {seconds:.0f} s; its stderr:\n{self.stderr}"
            raise AssertionError(message) from None
        return [
            Ended(process.returncode, path.read_text("utf-8", "replace"))
            for process, path in zip(self._running, self._stderr, strict=True)
        ]

    def wait_until(self, met: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Wait for a condition while the job runs; fails if it ends, or not in time."""
        deadline = time.monotonic() + seconds
        while not met():
            assert self.alive, f"the job ended too soon; its stderr:\n{self.stderr}"
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s:\n{self.stderr}"
            time.sleep(_POLL_SECONDS)

    def _show_threads(self) -> None:
        """End what stands still in a way that shows in stderr where every thread is."""
        self.send(signal.SIGABRT)
        for process in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS * 50)


def finish(job: Job, seconds: float = SECONDS) -> list[Ended]:
    """Run a job to the end of its input; fails unless every process ends with status 0."""
    with job:
        ended = job.wait(seconds)
    assert [one.status for one in ended] == [0] * len(ended), job.stderr
    return ended


def fail(job: Job, seconds: float = SECONDS) -> str:
    """Run a job that must end with an error; returns the one line on stderr of a process alone."""
    with job:
        [ended] = job.wait(seconds)
    assert ended.status == 1, (ended.status, ended.stderr)
    return ended.error


def recovery_directory(folder: Path, partitions: int = 2) -> Path:
    """Make an empty recovery directory."""
    folder.mkdir()
    init_db_dir(folder, partitions)  # type: ignore[no-untyped-call]  # it is Rust's
    return folder


def _commands(
    processes: int, workers: int, recovery: Path | None, snapshot_seconds: int | None
) -> list[list[str]]:
    command = [sys.executable, "-m", "bytewax.run", "flows.dedup"]
    if workers != 1:
        command += ["-w", str(workers)]
    if snapshot_seconds is not None:
        command += ["-s", str(snapshot_seconds)]
    if recovery is not None:
        command += ["-r", str(recovery), "-b", "0"]
    if processes == 1:
        return [command]
    addresses = ";".join(f"127.0.0.1:{port}" for port in free_ports(processes))
    return [[*command, "-i", str(number), "-a", addresses] for number in range(processes)]
