"""The job on a cluster while one fault after another befalls the brokers, and the count."""

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from deploy.kafka import BrokerStartError, Cluster
from tests.drills.drill_scene import DrillError, Outcome, Stage
from tests.drills.three_brokers.account import account_for
from tests.drills.three_brokers.faults import FAULTS, Place
from tests.drills.three_brokers.proxies import Proxies
from tests.drills.three_brokers.silence import SilenceWatch
from tests.integration.job import Job

_PARTITIONS: Final = 6
_RATE: Final = 300.0
# So that every lane is open, and the statistics and snapshots of some epochs are written.
_RECORDS_BEFORE: Final = 1_000
_RECORDS_AFTER: Final = 600
_CATCH_UP_SECONDS: Final = 120.0
_ROUNDS: Final = 4
_LINES, _WIDTH = 4, 300


@dataclass(frozen=True)
class _Counted:
    stage: Stage
    job: Job

    @property
    def delivered(self) -> int:
        return self.stage.delivered

    @property
    def answered(self) -> int:
        return len(self.stage.reader.seen)

    @property
    def ended(self) -> bool:
        return bool(self.job.ended)


def play(  # noqa: PLR0917 - what a drill is made of
    names: Sequence[str],
    cluster: Cluster,
    proxies: Proxies,
    folder: Path,
    seed: int,
    settings: Mapping[str, str] | None = None,
    processes: int = 1,
    *,
    slack_seconds: float = 0.0,
) -> Outcome:
    """Play faults by name one after another, with the job running all the while.

    folder: for the recovery directory, state and what the job says.  settings: the job's, where
    it is not to be as it is by default.  slack_seconds: that the job may be silent longer, on
    a machine that does other work.
    """
    cluster.heal()
    proxies.restore()
    proxied = any(FAULTS[name].proxied for name in names)
    settings = {"DEDUP_BROKERS": cluster.proxied if proxied else cluster.bootstrap} | dict(
        settings or {}
    )
    label = names[0] if len(names) == 1 else "three-brokers"
    with Stage(
        label,
        cluster.bootstrap,
        folder,
        seed=seed,
        rate=_RATE,
        settings=settings,
        partitions=_PARTITIONS,
    ) as stage:
        place = Place(cluster, proxies, stage.topics.prefix, stage.draw)
        try:
            return _play(names, stage, place, processes, slack_seconds)
        finally:
            proxies.restore()


def _play(
    names: Sequence[str], stage: Stage, place: Place, processes: int, slack_seconds: float
) -> Outcome:
    wrong: list[str] = []
    with stage.start(processes) as job:
        steps: list[tuple[str, Callable[[], None]]] = [
            ("start", lambda: stage.run_on(job, _RECORDS_BEFORE, _CATCH_UP_SECONDS)),
            *((name, partial(_strike, name, stage, place, job, slack_seconds)) for name in names),
        ]
        for name, step in steps:
            try:
                step()
            except (DrillError, AssertionError, BrokerStartError) as error:
                wrong.append(f"{name}: {_end_of(error)}")
            if job.ended:
                break
        place.proxies.restore()
        place.cluster.heal()
        if not job.ended:
            outcome = stage.finish_with(job)
        else:
            wrong.append(f"the job ended by itself: {job.ended}")
            job.kill()
            outcome = stage.finish(processes)  # a restart must be exact all the same
    account = account_for(stage.topics)
    return replace(
        outcome,
        lost=max(outcome.lost, len(account.lost)),
        # The reader goes by numbers, and a producer that lost its brokers may write one twice.
        doubled=len(account.doubled),
        wrong=(*wrong, *outcome.wrong, *account.faults),
    )


def _end_of(error: Exception) -> str:
    """The end of what is wrong: the whole of the job's stderr is in its folder."""
    lines = str(error).strip().splitlines()
    return "\n".join(line[:_WIDTH] for line in lines[-_LINES:])


def _strike(name: str, stage: Stage, place: Place, job: Job, slack_seconds: float) -> None:
    fault = FAULTS[name]
    with SilenceWatch(_Counted(stage, job)) as watch:
        stage.fault()
        try:
            fault.strike(place)
            stage.run_on(job, _RECORDS_AFTER, _CATCH_UP_SECONDS)
            place.cluster.wait_until_in_sync()
        finally:
            silent = f"silent for {watch.longest_seconds:.1f} s at the longest"
            if watch.ended_after_seconds is not None:
                silent += f"; the job ended after {watch.ended_after_seconds:.1f} s"
            stage.notes.append(f"{name}: {silent}")
    limit = fault.silence_seconds
    if limit is not None and watch.longest_seconds > limit + slack_seconds:
        message = f"silent for {watch.longest_seconds:.1f} s, longer than {limit:.0f} s"
        raise DrillError(message)


@contextmanager
def proxied_cluster(folder: Path | None = None) -> Iterator[tuple[Cluster, Proxies]]:
    """Run three brokers that reach one another, too, through a network that can be cut.

    folder: where their data and logs are kept; temporary without one.
    """
    cluster = Cluster(folder=folder, proxied=True)
    with Proxies(cluster) as proxies, cluster:
        yield cluster, proxies


def play_seeds(seeds: Iterable[int], settings: Mapping[str, str]) -> Iterator[Outcome]:
    """Play rounds of faults that each seed draws, with one to three processes."""
    with (
        tempfile.TemporaryDirectory(prefix="dedup-drill-") as folder,
        proxied_cluster() as (cluster, proxies),
    ):
        for seed in seeds:
            draw = random.Random(f"three brokers {seed}")
            names = draw.choices(list(FAULTS), k=_ROUNDS)
            processes = draw.choice((1, 1, 2, 3))
            outcome = play(
                names, cluster, proxies, Path(folder, str(seed)), seed, settings, processes
            )
            yield replace(outcome, notes=(f"{processes} processes", *outcome.notes))
