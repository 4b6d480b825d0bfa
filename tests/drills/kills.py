"""kill -9: at random moments, and at each named point of the protocol."""

import time

from connectors.exactly_once.failpoints import POINTS
from tests.drills.drill_scene import Scale, Stage, expect, others_end
from tests.integration.job import Job

_LONGEST_RUN_SECONDS = 4.0
# Reached in every epoch or commit; a point that is not reached within this is not there.
_POINT_SECONDS = 60.0
_KILLED = -9


def random_kills(stage: Stage, scale: Scale) -> None:
    """One of one to three processes, or all at once, at random moments, starts included."""
    for _ in range(scale.times):
        processes = stage.draw.choice((1, 2, 3))
        with stage.start(processes) as job:
            time.sleep(stage.draw.uniform(0.5, _LONGEST_RUN_SECONDS + processes))
            kill_some(stage, job, processes)


def kill_some(stage: Stage, job: Job, processes: int) -> None:
    """Kill all processes or only one, after which the others must end too."""
    stage.fault()
    if processes == 1 or stage.draw.random() < 0.3:
        job.kill()
        return
    victim = stage.draw.randrange(processes)
    job.kill([victim])
    others_end(job, victim, processes)


def kill_points(stage: Stage, scale: Scale) -> None:
    """At each named point, the first time and later ones; without recovery directory too."""
    for point in POINTS:
        later = [stage.draw.randrange(2, 12) for _ in range(scale.times // 5)]
        for times in (1, *later):
            recovery = stage.draw.random() < 0.7
            with stage.start(
                1, {"DEDUP_TEST_KILL_AT": f"{point}:{times}"}, recovery=recovery
            ) as job:
                [ended] = job.wait(_POINT_SECONDS)
            expect(ended.status == _KILLED, f"{point} was not reached: {ended}")
            stage.fault()
