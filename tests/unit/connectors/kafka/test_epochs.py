"""The ends of epochs on several workers stay together, as Bytewax would have them drift apart."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from connectors.kafka.epochs import EpochTiming

INTERVAL = 10.0
BEGIN = 1_700_000_000.0


@dataclass
class Worker:
    """A worker's source as Bytewax runs it; jitter: how late it wakes up."""

    timing: EpochTiming
    jitter: Callable[[], float]
    began: float  # the epoch
    wake: float = 0.0
    epoch: int = 0
    waits: list[float] = field(default_factory=list)
    ended_at: float | None = None

    def step(self, open_epoch: int) -> None:
        """Wake up.  open_epoch: which all may read."""
        woke = self.wake
        if self.epoch > open_epoch:
            self.wake += 0.001  # it spins
            return
        if self.ended_at is not None:
            self.waits.append(woke - self.ended_at)
            self.ended_at = None
        self.timing.reads(woke)
        self.wake = self.timing.wake(woke, woke + 0.04 + self.jitter())
        if woke - self.began >= INTERVAL:
            self.timing.ended(woke)
            self.began = self.ended_at = woke
            self.epoch += 1


def run(workers: list[Worker], epochs: int, commit: float = 0.03) -> None:
    """Let them run until all have ended so many epochs.  commit: how long that takes them."""
    open_epoch = 0
    while min(worker.epoch for worker in workers) < epochs:
        worker = min(workers, key=lambda one: one.wake)
        all_ended = all(one.epoch > open_epoch for one in workers)
        if all_ended and worker.wake >= max(one.began for one in workers) + commit:
            open_epoch += 1
        worker.step(open_epoch)


def make(delays: list[float], starts: list[float], *, keeps: bool = True) -> list[Worker]:
    draw = random.Random(1)
    return [
        Worker(
            EpochTiming(INTERVAL if keeps else 0.0),
            partial(draw.uniform, 0.0, delay),
            BEGIN + start,
            BEGIN + start,
        )
        for delay, start in zip(delays, starts, strict=True)
    ]


def late_waits(workers: list[Worker]) -> float:
    """The longest mean wait of a worker, over the last epochs."""
    return max(sum(worker.waits[-50:]) / 50 for worker in workers)


def test_ends_that_drift_stay_together() -> None:
    """One is woken up later than the other, by up to 0.2 s each time."""
    without = make([0.0, 0.2], [0.0, 0.0], keeps=False)
    run(without, 150)
    assert late_waits(without) > 5.0

    workers = make([0.0, 0.2], [0.0, 0.0])
    run(workers, 150)
    assert late_waits(workers) < 0.4


@pytest.mark.parametrize("start", [0.5, 3.0, 9.0])
def test_workers_that_begin_apart_come_together(start: float) -> None:
    workers = make([0.01, 0.01, 0.01], [0.0, start / 2, start])
    run(workers, 120)
    assert max(workers[0].waits[:3]) > start / 2
    assert late_waits(workers) < 0.2


def test_slow_commits_are_not_taken_for_other_workers() -> None:
    workers = make([0.01, 0.01], [0.0, 0.0])
    run(workers, 100, 2.0)
    began = [worker.began for worker in workers]
    # Now and then a worker tries whether it helps to sleep, for a second at most.
    assert max(began) - BEGIN < 100 * (INTERVAL + 0.1) + 2.0 * 5
    assert late_waits(workers) < 2.5


@pytest.mark.parametrize("wait", [INTERVAL + 1.0, -0.5])
def test_what_takes_longer_than_an_epoch_was_no_other_worker(wait: float) -> None:
    """Nor is a clock that was set."""
    timing = EpochTiming(INTERVAL)
    timing.ended(BEGIN)
    timing.reads(BEGIN + wait)
    assert timing.wake(BEGIN + 9.0, BEGIN + 12.0) == BEGIN + 12.0
    timing.ended(BEGIN + 20.0)
    timing.reads(BEGIN + 20.05)
    assert timing.wake(BEGIN + 29.0, BEGIN + 31.0) == BEGIN + 31.0


def test_a_worker_that_is_alone_never_sleeps() -> None:
    timing = EpochTiming(0.0)
    timing.ended(BEGIN)
    timing.reads(BEGIN + 5.0)
    assert timing.wake(BEGIN + 5.0, BEGIN + 5.0) == BEGIN + 5.0


def test_it_sleeps_for_a_second_at_most() -> None:
    """A stop would not be heard meanwhile."""
    timing = EpochTiming(INTERVAL)
    timing.ended(BEGIN)
    timing.reads(BEGIN + 8.0)
    assert timing.wake(BEGIN + 9.0, BEGIN + 9.9) == BEGIN + 9.9
    assert timing.wake(BEGIN + 9.9, BEGIN + 10.1) == BEGIN + INTERVAL + 1.0
