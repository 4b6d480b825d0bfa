"""Clusters that stand still, wake up, and change their size."""

import signal

from tests.drills.drill_scene import Scale, Stage, expect
from tests.integration.job import Job

_WAKE_SECONDS = 60.0


def old_cluster(stage: Stage, scale: Scale) -> None:
    """SIGSTOP of a whole cluster, another one takes over, SIGCONT: the old one ends, non-zero."""
    for turn in range(max(1, scale.times // 5)):
        processes = (1, 2, 3)[turn % 3]
        with stage.start(processes) as old:
            stage.run_on(old)
            old.send(signal.SIGSTOP)
            stage.fault()
            # State on disk is locked by its process: the new one is on another machine.
            elsewhere = {"DEDUP_STATE_DIR": str(stage.folder / f"state-{turn}")}
            with stage.start(stage.draw.choice((1, 2)), elsewhere) as new:
                if not _takes_over(stage, new):
                    old.kill()
                    continue
                old.send(signal.SIGCONT)
                ended = old.wait(_WAKE_SECONDS)
                expect(
                    all(one.status for one in ended),
                    f"the old cluster should end non-zero: {[one.status for one in ended]}",
                )
                said = "\n".join(one.stderr for one in ended)
                expect("has taken over lane" in said, f"the old cluster does not say why: {said}")
                # The new one may go on; where it was fenced too a restart is exact.
                if new.alive:
                    stage.run_on(new)
                    new.send(signal.SIGTERM)
                    new.wait()
                else:
                    stage.notes.append("the new cluster ended too, and was restarted")


def _takes_over(stage: Stage, new: Job) -> bool:
    """Let a new cluster take over; not where the old one stands still within a snapshot."""
    try:
        stage.run_on(new, 500)
    except AssertionError:
        if new.alive or "is locked by another process" not in new.stderr:
            raise
        stage.notes.append("the old cluster held a lock on the recovery directory, and was killed")
        return False
    return True


def sizes(stage: Stage, scale: Scale) -> None:
    """1, 3, 2 processes after each other, stopped in order or killed."""
    for _ in range(max(1, scale.times // 5)):
        for processes in (1, 3, 2):
            with stage.start(processes) as job:
                stage.run_on(job)
                stage.fault()
                if stage.draw.random() < 0.5:
                    job.kill()
                    continue
                job.send(signal.SIGTERM)
                ended = job.wait()
            # It may have come before the job could handle it, when nothing has begun.
            fine = (0, -signal.SIGTERM)
            expect(all(one.status in fine for one in ended), f"SIGTERM: {ended}")
