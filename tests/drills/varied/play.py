"""Plays the story of a seed, and counts."""

import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bytewax.recovery import init_db_dir

from deploy.kafka.scoped import Scoped
from tests.drills.drill_scene import DrillError, Outcome, audit, expect, others_end
from tests.drills.reader import Reader
from tests.drills.varied import acts as ways
from tests.drills.varied.acts import Act
from tests.drills.varied.counting import find_wrong
from tests.drills.varied.drafts import Drafts
from tests.drills.varied.feed import Feed
from tests.drills.varied.setup import Setup
from tests.drills.varied.trees import Tree
from tests.integration.job import Job
from tests.integration.topics import Topics

_SECONDS: Final = 120.0
"""All is answered within this, on a busy machine too."""
_POINT_SECONDS: Final = 25.0
_STOP_SECONDS: Final = 15.0
_RATE: Final = 300.0
_ENDLESS: Final = 1_000_000
_MOST_REPEATS: Final = 1_000
_POLL_SECONDS: Final = 0.05
_RECOVERY_PARTITIONS: Final = 2
_STDERR_LINES: Final = 12


class Play(Scoped):
    """A seed's application; as a context manager it leaves no thread and no topic."""

    def __init__(  # noqa: PLR0917 - what a play is made of
        self,
        bootstrap: str,
        folder: Path,
        seed: int,
        setup: Setup,
        code: Path,
        settings: Mapping[str, str],
    ) -> None:
        self._seed, self._setup, self._folder, self._code = seed, setup, folder, code
        self._topics = Topics(
            bootstrap, f"varied-{seed}-{random.randbytes(3).hex()}", setup.partitions
        )
        for topic in (self._topics.input, *self._topics.outputs.values()):
            self._topics.create(topic)
        self.settings = self._topics.settings | setup.variables(folder) | dict(settings)
        if setup.statistics:
            self.settings["DEDUP_STATS_TOPIC"] = f"{self._topics.prefix}-stats"
        self._tree = Tree(code, folder) if setup.upgrade else None
        self._recovery = folder / "recovery" if setup.recovery else None
        self._make_recovery()
        self._drafts = Drafts(setup, random.Random(f"records {seed}"))
        self._feed = Feed(self._topics)
        self._reader = Reader(self._topics)
        self._faults = 0
        self._notes: list[str] = []
        self._began = time.monotonic()

    def begin(self) -> None:
        """Start reading."""
        self._reader.begin()

    def end(self) -> None:
        """Stop reading and delete the topics."""
        self._reader.end()
        admin = self._topics.admin()
        mine = [
            name
            for name in admin.list_topics(timeout=_STOP_SECONDS).topics
            if name.startswith(self._topics.prefix)
        ]
        for future in admin.delete_topics(mine).values():
            future.result(_STOP_SECONDS)

    def run(self, act: Act) -> None:
        """Run the job once, and end it as the act says.

        Raises DrillError or AssertionError where it does what it should not.
        """
        if act.lost_recovery and self._recovery is not None:
            shutil.rmtree(self._recovery)
            self._make_recovery()
        if act.lost_state:
            shutil.rmtree(self._folder / "state", ignore_errors=True)
        if act.backlog:
            self._write(act.backlog, act.backlog_of)
        before = self._answered
        with self._start(act) as job:
            try:
                self._trickle(act)
                self._play(job, act, before)
            finally:
                self._feed.stop()

    def finish(self, acts: list[Act], last: tuple[int, int], wrong: tuple[str, ...]) -> Outcome:
        """Repeat what is known to be unique, have all answered, and count."""
        self._write(_MOST_REPEATS, ways.REPEATS)
        count = self._feed.count
        found = list(wrong)
        with self._start(Act(*last)) as job:
            try:
                self._until_answered(job)
                job.send(signal.SIGTERM)
                ended = job.wait(_STOP_SECONDS)
                expect(
                    all(one.status == 0 for one in ended),
                    f"SIGTERM did not end the job with status 0:\n{_tail(job)}",
                )
            except (DrillError, AssertionError) as error:
                found.append(str(error))
        time.sleep(0.5)  # what is doubled at the very end would come now
        reader = self._reader
        found += reader.wrong
        found += find_wrong(
            self._setup, self._drafts.made, self._feed.offsets(), dict(reader.answers)
        )
        found += audit(self.settings, self._code)
        verdicts = [answer.verdict for answer in reader.answers.values()]
        counts = {name: verdicts.count(name) for name in sorted(set(verdicts))}
        story = " ".join(str(act) for act in (*acts, Act(*last, ending=ways.STOP)))
        notes = [str(self._setup), story, json.dumps(counts), *self._notes]
        return Outcome(
            f"varied {self._setup.story}",
            self._seed,
            self._faults,
            count,
            lost=count - self._answered,
            doubled=reader.doubled,
            wrong=tuple(found),
            seconds=time.monotonic() - self._began,
            notes=tuple(notes),
        )

    def _play(self, job: Job, act: Act, before: int) -> None:
        """Let a run go on until its end; before: how much was answered when it began."""
        if act.ending == ways.POINT:
            self._until_a_point(job)
            self._kill(job, act)
        elif act.ending == ways.MOMENT:
            if not act.from_start:
                job.wait_until(lambda: self._goes_on(before), _SECONDS)
            time.sleep(act.seconds)
            self._kill(job, act)
        else:
            if act.feed != ways.NOTHING:
                job.wait_until(lambda: self._goes_on(before), _SECONDS)
                time.sleep(act.seconds)
                self._feed.stop()
            self._until_answered(job)
            self._end(job, act)

    def _goes_on(self, before: int) -> bool:
        """Whether a run has answered something, or has nothing to answer."""
        if self._answered > before:
            return True
        return not self._feed.trickles and self._answered >= self._feed.count

    def _until_answered(self, job: Job) -> None:
        """Wait until all that was written is answered."""
        count = self._feed.count
        try:
            job.wait_until(lambda: self._answered >= count, _SECONDS)
        except AssertionError as error:
            places = Counter(
                self._drafts.made[number].record.partition
                for number in range(count)
                if number not in self._reader.seen
            )
            msg = f"{error}\nnot answered, by partition of the input: {dict(places)}"
            raise DrillError(msg) from error

    def _until_a_point(self, job: Job) -> None:
        """Wait until a process is killed at its point; it may have nothing left to do before."""
        deadline = time.monotonic() + _POINT_SECONDS
        while not job.ended and self._answered < self._feed.count:
            if time.monotonic() > deadline:
                self._notes.append("a point was not reached")
                return
            time.sleep(_POLL_SECONDS)
        time.sleep(_POLL_SECONDS)

    def _kill(self, job: Job, act: Act) -> None:
        """Kill processes as the act says; some may have been killed at a point by then."""
        self._faults += 1
        ended = job.ended
        for number, status in ended.items():
            # Those that lost another one end by themselves.
            lost = act.ending == ways.POINT and act.processes > 1
            expect(
                status == -signal.SIGKILL or (lost and status != 0),
                f"process {number} ended by itself with {status}:\n{_tail(job)}",
            )
        if act.processes == 1 or not act.one:
            job.kill()
            return
        victim = next(iter(ended), 0)
        job.kill([victim])
        if act.watched:
            others_end(job, victim, act.processes)
        else:
            time.sleep(act.seconds / 4)

    def _end(self, job: Job, act: Act) -> None:
        if act.ending == ways.KILL:
            self._faults += 1
            job.kill()
            return
        job.send(signal.SIGTERM)
        ended = job.wait(_STOP_SECONDS)
        # It may have come before a process could handle it, one that had nothing to do yet.
        fine = (0, -signal.SIGTERM)
        expect(all(one.status in fine for one in ended), f"SIGTERM:\n{_tail(job)}")

    def _trickle(self, act: Act) -> None:
        if act.feed == ways.NEW:
            self._feed.trickle(self._drafts.some(_ENDLESS), _RATE)
        elif act.feed == ways.REPEATS:
            self._feed.trickle(self._drafts.repeats(self._unique(), _ENDLESS), _RATE)

    def _write(self, count: int, kind: str) -> None:
        if kind == ways.NEW:
            self._feed.add(self._drafts.some(count))
            return
        unique = self._unique()
        self._feed.add(self._drafts.repeats(unique, min(count, len(unique))))

    def _unique(self) -> list[int]:
        """Numbers of the records that were unique, as far as is known."""
        answers = dict(self._reader.answers)
        return [number for number, answer in answers.items() if answer.verdict == "unique"]

    @property
    def _answered(self) -> int:
        return len(self._reader.seen)

    def _make_recovery(self) -> None:
        if self._recovery is not None:
            self._recovery.mkdir(exist_ok=True)
            init_db_dir(self._recovery, _RECOVERY_PARTITIONS)  # type: ignore[no-untyped-call]  # Rust's

    def _start(self, act: Act) -> Job:
        settings = dict(self.settings)
        code = self._code
        if self._tree is not None:
            self._tree.switch(other=act.other_code)
            settings |= self._tree.variables
            code = self._tree.path
        if act.ending == ways.POINT:
            settings["DEDUP_TEST_KILL_AT"] = f"{act.point}:{act.times}"
        return Job(
            settings,
            self._folder,
            processes=act.processes,
            workers=act.workers,
            recovery=self._recovery,
            code=code,
        )


def _tail(job: Job) -> str:
    return "\n".join(job.stderr.strip().splitlines()[-_STDERR_LINES:])
