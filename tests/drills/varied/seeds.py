"""Plays one seed, or many, several at a time."""

import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from confluent_kafka import KafkaException

from deploy.kafka import Broker, start_broker
from tests.drills.drill_scene import DrillError, Outcome
from tests.drills.varied.acts import draw_acts
from tests.drills.varied.play import Play
from tests.drills.varied.setup import draw_cluster, draw_setup
from tests.integration.job import ROOT


def run_seed(
    bootstrap: str,
    folder: Path,
    seed: int,
    *,
    code: Path = ROOT,
    settings: Mapping[str, str] | None = None,
) -> Outcome:
    """Draw a seed's settings and story, play it, and count.

    folder: for recovery directories, state, copies of the code, and what the job says.
    code: the tree whose job is run.  settings: stronger than those that are drawn.
    """
    draw = random.Random(f"varied {seed}")
    setup = draw_setup(draw)
    acts = draw_acts(draw, setup)
    last = draw_cluster(draw, setup)
    place = folder / f"varied-{seed}"
    place.mkdir(parents=True)
    with Play(bootstrap, place, seed, setup, code, settings or {}) as play:
        wrong: tuple[str, ...] = ()
        try:
            for act in acts:
                play.run(act)
        except (DrillError, AssertionError) as error:
            wrong = (str(error),)
        return play.finish(acts, last, wrong)


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
                outcome = run_seed(
                    broker.bootstrap, Path(folder), seed, code=code, settings=settings
                )
                return outcome if outcome.passed else _keep(outcome, Path(folder))
        except (DrillError, AssertionError, KafkaException) as error:
            # The others are played all the same: a broker may stand still for a while.
            return Outcome("varied", seed, 0, 0, 0, 0, (f"not played to its end: {error}",), 0.0)
        finally:
            free.put(broker)

    with ExitStack() as stack:
        for _ in range(parallel):
            free.put(stack.enter_context(start_broker(own=True)))
        pool = stack.enter_context(ThreadPoolExecutor(parallel, thread_name_prefix="seed"))
        for done in as_completed([pool.submit(play, seed) for seed in seeds]):
            yield done.result()


def _keep(outcome: Outcome, folder: Path) -> Outcome:
    """Keep what the runs of a failed seed said: how it came about may be told by the machine."""
    kept = Path(tempfile.mkdtemp(prefix=f"dedup-drill-failed-{outcome.seed}-"))
    for path in sorted(folder.rglob("*.stderr")):
        shutil.copy(path, kept)
    return replace(outcome, notes=(*outcome.notes, f"what its runs said is in {kept}"))
