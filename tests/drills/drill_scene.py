"""Where a drill takes place: topics, a feed, a reader, and the job to be troubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bytewax.recovery import init_db_dir

from deploy.kafka.scoped import Scoped
from tests.drills.reader import NUMBER, Reader
from tests.integration.job import ROOT, Ended, Job
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import stream
from tests.integration.topics import Topics
from tests.model import Record

PEER_SECONDS: Final = 20.0
"""A process whose cluster has lost another one must end within this."""
STOP_SECONDS: Final = 12.0
"""SIGTERM ends the job within ten seconds; a busy machine needs a little to start to listen."""
_FINISH_SECONDS: Final = 180.0
_AUDIT_SECONDS: Final = 180.0
_RECORDS: Final = 300_000
_SENTINELS: Final = 48
_AFTER_ALL: Final = 1_700_001_000.0  # later than every event time of the streams
_RECOVERY_PARTITIONS: Final = 2

# Windows are short, so that keys expire and the changelog is trimmed while a drill runs.
_SETTINGS: Final = {
    "DEDUP_WINDOW_SECONDS": "60",
    "DEDUP_ALLOWED_LATENESS_SECONDS": "300",
    "DEDUP_STOP_AT_END": "false",
}


class DrillError(Exception):
    """Something went otherwise than promised."""


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    times: how often a fault is repeated.  rate: input records a second.
    """

    times: int
    rate: float


SHORT: Final = Scale(times=2, rate=500.0)
MEDIUM: Final = Scale(times=6, rate=1000.0)
LONG: Final = Scale(times=20, rate=1000.0)


@dataclass(frozen=True)
class Outcome:
    """What a drill comes to.  lost, doubled: input records without an answer, and with several."""

    name: str
    seed: int
    faults: int
    records: int
    lost: int
    doubled: int
    wrong: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def __str__(self) -> str:
        line = (
            f"{'ok  ' if self.passed else 'FAIL'} {self.name:<20} seed {self.seed}: "
            f"{self.faults} faults, {self.records} records, {self.lost} lost, "
            f"{self.doubled} doubled  ({self.seconds:.0f} s)"
        )
        return "\n".join([line, *(f"     {one}" for one in (*self.notes, *self.wrong))])


class Stage(Scoped):
    """A drill's own application, fed and watched; as a context manager it leaves nothing running.

    bootstrap: of the broker, for the feed and the reader.  settings: `DEDUP_*` variables besides
    those that name topics.  The same seed gives the same records and the same choices; when they
    strike depends on the machine.
    """

    def __init__(
        self,
        name: str,
        bootstrap: str,
        folder: Path,
        *,
        seed: int,
        rate: float,
        settings: Mapping[str, str] | None = None,
        partitions: int = 3,
    ) -> None:
        self.draw = random.Random(f"{name} {seed}")
        self.faults = 0
        self.notes: list[str] = []
        self.name, self.seed = name, seed
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.recovery = folder / "recovery"
        self.make_recovery()
        self.topics = Topics(bootstrap, f"{name}-{seed}-{random.randbytes(3).hex()}", partitions)
        for topic in (self.topics.input, *self.topics.outputs.values()):
            self.topics.create(topic)
        state = {"DEDUP_STATE_DIR": str(folder / "state")}
        self.settings = self.topics.settings | _SETTINGS | state | dict(settings or {})
        self.reader = Reader(self.topics)
        self._next = 0  # number of the next record
        drafts = stream(_RECORDS, seed=seed, partitions=partitions, late=True)
        self._feed = PacedProducer(self.topics, self._numbered(drafts), rate)
        self._began = time.monotonic()

    def begin(self) -> None:
        """Start reading and writing."""
        self.reader.begin()
        self._feed.begin()

    def end(self) -> None:
        """Stop writing and reading."""
        self._feed.end()
        self.reader.end()

    def make_recovery(self) -> None:
        """Make an empty recovery directory."""
        self.recovery.mkdir(exist_ok=True)
        init_db_dir(self.recovery, _RECOVERY_PARTITIONS)  # type: ignore[no-untyped-call]  # Rust's

    def start(
        self,
        processes: int = 1,
        settings: Mapping[str, str] | None = None,
        *,
        recovery: bool = True,
    ) -> Job:
        """Make a run of the job, which begins when it is entered."""
        return Job(
            self.settings | dict(settings or {}),
            self.folder,
            processes=processes,
            recovery=self.recovery if recovery else None,
        )

    def fault(self) -> None:
        """Count a fault."""
        self.faults += 1

    def run_on(self, job: Job, records: int = 300, seconds: float = 60.0) -> None:
        """Let the job answer so many records that are fed from now on; fails if it ends.

        Only of those is it known who answered them: what a stopped job wrote can be read
        late.  They are of all lanes, so that none is still being opened afterwards.
        """
        wanted = range(self._next, self._next + records)
        job.wait_until(lambda: all(number in self.reader.seen for number in wanted), seconds)

    @property
    def delivered(self) -> int:
        """How many records are in the input; the sentinels do not count."""
        return self._feed.delivered

    def finish(self, processes: int = 1, settings: Mapping[str, str] | None = None) -> Outcome:
        """Have a new run answer everything, sentinels last, and count."""
        total = self._write_last()
        with self.start(processes, settings) as job:
            return self._count(job, total)

    def finish_with(self, job: Job) -> Outcome:
        """Have a run that goes on answer everything, sentinels last, end it, and count."""
        return self._count(job, self._write_last())

    def _write_last(self) -> int:
        """Write no more but the sentinels; return how many records there are."""
        records = len(self._feed.stop())
        sentinels = self.topics.produce(self._numbered(self._sentinels()))
        return records + len(sentinels)

    def _count(self, job: Job, total: int) -> Outcome:
        all_seen = self.reader.wait_for(total, _FINISH_SECONDS)
        job.send(signal.SIGTERM)
        ended = self._wait(job)
        if not all_seen:
            self.reader.wrong.append(
                f"not all came out within {_FINISH_SECONDS:.0f} s:{job.stderr}"
            )
        if any(one.status for one in ended):
            self.reader.wrong.append(f"SIGTERM did not end the job with status 0:\n{job.stderr}")
        time.sleep(0.5)  # what is doubled at the very end would come now
        self.reader.wrong += audit(self.settings)
        return Outcome(
            self.name,
            self.seed,
            self.faults,
            total,
            lost=total - len(self.reader.seen),
            doubled=self.reader.doubled,
            wrong=tuple(self.reader.wrong),
            seconds=time.monotonic() - self._began,
            notes=tuple(self.notes),
        )

    def _wait(self, job: Job) -> list[Ended]:
        try:
            return job.wait(STOP_SECONDS)
        except AssertionError as error:
            self.reader.wrong.append(str(error))
            return []

    def _numbered(self, drafts: Iterator[Record]) -> Iterator[Record]:
        for draft in drafts:
            number = b"%d" % self._next
            self._next += 1
            yield replace(draft, headers=[*(draft.headers or []), (NUMBER, number)])

    def _sentinels(self) -> Iterator[Record]:
        """Records for every lane and every partition: one that hangs would be missed."""
        for index in range(_SENTINELS):
            event = {
                "event_id": f"sentinel-{index}",
                "user_id": "u",
                "event_type": "sentinel",
                "timestamp": _AFTER_ALL,
                "data": {},
            }
            partition = index % self.topics.partitions
            yield Record(partition, -1, b"s%d" % index, json.dumps(event).encode(), None)


def audit(settings: Mapping[str, str], code: Path = ROOT) -> list[str]:
    """What `dedup audit` finds wrong; code: the tree that has the command."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DEDUP_")}
    answer = subprocess.run(
        [sys.executable, "-m", "flows.cli", "audit"],
        cwd=code,
        env=environ | dict(settings),
        capture_output=True,
        text=True,
        timeout=_AUDIT_SECONDS,
        check=False,
    )
    if answer.returncode == 0:
        return []
    return [f"the audit found:\n{answer.stdout}{answer.stderr}"]


def expect(holds: object, what: str) -> None:
    """Raise DrillError unless something holds."""
    if not holds:
        raise DrillError(what)


def others_end(job: Job, killed: int, processes: int) -> None:
    """After one process was killed the others must end too, unless they had not met it yet."""
    deadline = time.monotonic() + PEER_SECONDS
    while job.alive:
        if "waits for the other" in job.stderr:
            job.kill()
            return
        expect(
            time.monotonic() < deadline,
            f"process {killed} was killed, but others live on after {PEER_SECONDS:.0f} s:\n"
            f"{job.stderr}",
        )
        time.sleep(0.05)
    ended = job.wait(0.0)
    for number in range(processes):
        expect(ended[number].status != 0, f"process {number} ended with 0, having lost {killed}")
