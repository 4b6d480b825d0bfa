"""Plays many seeds, several at a time."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from deploy.kafka import Broker, start_broker
from tests.drills.stage import Outcome
from tests.drills.varied.play import run_seed


def run_seeds(
    seeds: Iterable[int], parallel: int, code: Path, settings: Mapping[str, str]
) -> Iterator[Outcome]:
    """Play seeds and yield what each came to, as they end.

    parallel: how many at a time, each with a broker of its own.  code: the tree whose job
    is run.  settings: stronger than those that are drawn.
    """
    free: SimpleQueue[Broker] = SimpleQueue()

    def play(seed: int) -> Outcome:
        broker = free.get()
        try:
            with tempfile.TemporaryDirectory(prefix="dedup-drill-") as folder:
                return run_seed(broker.bootstrap, Path(folder), seed, code=code, settings=settings)
        finally:
            free.put(broker)

    with ExitStack() as stack:
        for _ in range(parallel):
            free.put(stack.enter_context(start_broker(own=True)))
        pool = stack.enter_context(ThreadPoolExecutor(parallel, thread_name_prefix="seed"))
        for done in as_completed([pool.submit(play, seed) for seed in seeds]):
            yield done.result()
