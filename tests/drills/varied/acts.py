"""What happens to the job of a seed: one run after another, each ended in some way."""

import random
from dataclasses import dataclass, fields, replace
from typing import Final

from connectors.exactly_once.failpoints import POINTS
from tests.drills.varied.setup import Setup, draw_cluster

STOP, KILL, MOMENT, POINT = "stop", "kill", "moment", "point"
NOTHING, NEW, REPEATS = "nothing", "new", "repeats"

# The snapshots of an epoch; a changelog is trimmed behind the second one at the earliest.
_QUIET_SECONDS: Final = 3.5
_TRICKLE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Act:
    """One run of the job.

    processes, workers: of the cluster, and of each process.  backlog, backlog_of: how many
    records are written before it starts, and whether they are new or repeats.  feed: what is
    written while it runs.  seconds: how long it is fed, or runs before it is killed at a moment;
    from_start: counted from its start, and not from its first answer.
    ending: stopped or killed when all is answered, killed at a moment, or at a point (`point`)
    for the `times`-th time.  one: whether only one process is killed; watched: whether
    the others must then end by themselves.  other_code: whether it is the run of another version.
    lost_recovery, lost_state: what is gone before it starts.
    """

    processes: int = 1
    workers: int = 1
    backlog: int = 0
    backlog_of: str = NEW
    feed: str = NOTHING
    seconds: float = 0.0
    from_start: bool = False
    ending: str = KILL
    point: str = ""
    times: int = 0
    one: bool = False
    watched: bool = False
    other_code: bool = False
    lost_recovery: bool = False
    lost_state: bool = False

    def __str__(self) -> str:
        told = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"run({' '.join(told)})"


def draw_acts(draw: random.Random, setup: Setup) -> list[Act]:
    """Draw the story of a seed but for its last run, which answers whatever is left."""
    acts = {"backfill": _backfill, "quiet": _quiet, "mixed": _mixed}[setup.story](draw, setup)
    if setup.upgrade:
        # The other version compiles all that is there to be kept, and leaves keys behind.
        first = replace(acts[0], processes=1, workers=1, other_code=True, ending=KILL)
        acts[0] = replace(first, backlog=max(first.backlog, 500), feed=NOTHING)
    return acts


def _backfill(draw: random.Random, setup: Setup) -> list[Act]:
    """Many records at once, so that a batch spans windows, and kills all the way through."""
    acts = [_answered(draw, setup, draw.randrange(200, 2_000))]
    for turn in range(draw.choice((3, 4, 4))):
        first = turn == 0
        backlog = draw.randrange(5_000, 20_000) if first else draw.choice((0, 1_000, 3_000))
        act = _killed(draw, setup, points=0.8)
        acts.append(replace(act, backlog=backlog))
    return acts


def _quiet(draw: random.Random, setup: Setup) -> list[Act]:
    """A restart, then nothing but repeats for several epochs, a restart, and repeats again."""
    acts = [_answered(draw, setup, draw.randrange(300, 2_000))]
    for _ in range(draw.choice((1, 1, 2))):
        processes, workers = draw_cluster(draw, setup, apart=draw.random() < 0.8)
        quiet = Act(
            processes,
            workers,
            feed=REPEATS,
            seconds=_QUIET_SECONDS,
            ending=draw.choice((STOP, KILL)),
            lost_recovery=_lost_recovery(draw, setup),
        )
        acts.append(quiet)
    again = _killed(draw, setup, points=0.4)
    return [*acts, replace(again, backlog=draw.randrange(200, 800), backlog_of=REPEATS)]


def _mixed(draw: random.Random, setup: Setup) -> list[Act]:
    """A steady stream, with kills at random."""
    acts = [_answered(draw, setup, draw.randrange(200, 1_000))]
    for _ in range(4):
        act = _killed(draw, setup, points=0.4)
        acts.append(replace(act, feed=NEW, backlog=draw.choice((0, 0, 2_000))))
    return acts


def _answered(draw: random.Random, setup: Setup, backlog: int) -> Act:
    processes, workers = draw_cluster(draw, setup)
    return Act(processes, workers, backlog=backlog, ending=draw.choice((STOP, KILL)))


def _killed(draw: random.Random, setup: Setup, points: float) -> Act:
    """Draw a run that is killed.  points: the share that is killed at a named point."""
    processes, workers = draw_cluster(draw, setup)
    act = Act(
        processes,
        workers,
        lost_recovery=_lost_recovery(draw, setup),
        lost_state=setup.state == "rocksdb" and draw.random() < 0.1,
        one=processes > 1 and draw.random() < 0.5,
        watched=draw.random() < 0.3,
    )
    if draw.random() < points:
        point = draw.choice((*POINTS, "before_commit", "before_commit"))
        return replace(act, ending=POINT, point=point, times=draw.randrange(1, 7))
    from_start = draw.random() < 0.3
    seconds = draw.uniform(0.3, 3.0) if from_start else _TRICKLE_SECONDS * draw.random() ** 2
    return replace(act, ending=MOMENT, seconds=seconds, from_start=from_start)


def _lost_recovery(draw: random.Random, setup: Setup) -> bool:
    return setup.recovery and draw.random() < 0.25
