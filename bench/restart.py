"""How long a start takes, and a restart after kill -9: `python -m bench.restart`.

Under a paced load the job is started, killed after a while and started again.  Told
are the seconds from each start to the first record that a `read_committed` reader gets,
and from the second one until the reader is no more than half a second behind the load
for good.  Writes `bench/results/restart.json`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.harness.contenders_for_latency import Topics, job_of
from bench.harness.inputs import any_name
from bench.harness.machine import write_results
from bench.latency import begin, produce_paced
from deploy.kafka import start_broker

_PROCESSES = multiprocessing.get_context("spawn")
_CAUGHT_UP_MS = 500.0
_RUN_SECONDS = 20.0
_READ_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Restart:
    """Seconds from a start to the first record out, and until what had waited was out too.

    behind: seconds of load that had waited when the job was started again.
    """

    rate: int
    live_keys: int
    first_start: float
    restart: float
    caught_up: float
    behind: float


@contextmanager
def _load(brokers: str, topics: Topics, rate: int, seconds: float, first: int) -> Iterator[None]:
    load = _PROCESSES.Process(
        target=produce_paced, args=(brokers, topics.input, rate, seconds, first), daemon=True
    )
    load.start()
    yield
    load.join()


def measure(brokers: str, rate: int, keys: int) -> Restart:
    """Start, kill -9, start again, until everything is out."""
    topics = Topics(*(any_name(f"restart-{kind}") for kind in ("in", "u", "d", "l", "i")))
    reader, ours = begin(brokers, topics, keys)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "bytewax.recovery", folder, "1"], check=True)
        start = partial(job_of, brokers, topics, any_name("restart"), Path(folder), {})
        with _load(brokers, topics, rate, 3 * _RUN_SECONDS, keys):
            time.sleep(1.0)
            started = time.time()
            job = start()
            time.sleep(_RUN_SECONDS)
            job.kill()
            job.wait()
            killed = time.time()
            # The reader is still given what was committed last.
            time.sleep(_READ_SECONDS)
            again = time.time()
            job = start()
        time.sleep(3.0)
        job.terminate()
        job.wait(30)
    ours.send("stop")
    produced, read = ours.recv()
    reader.join()
    after = read > again * 1000.0
    late = read[after & (read - produced > _CAUGHT_UP_MS)]
    seen = produced[~after].max()
    return Restart(
        rate=rate,
        live_keys=keys,
        first_start=round(float(read.min()) / 1000.0 - started, 2),
        restart=round(float(read[after].min()) / 1000.0 - again, 2),
        caught_up=round(float(late.max() if len(late) else read[after].min()) / 1000.0 - again, 2),
        behind=round(float(np.float64(killed) - seen / 1000.0), 2),
    )


def main() -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--live-keys", default="0,1000000", help="how many there are before")
    options = parser.parse_args()
    results = []
    with start_broker(own=True) as broker:
        for keys in map(int, options.live_keys.split(",")):
            one = measure(broker.bootstrap, options.rate, keys)
            results.append(one)
            print(
                f"{one.rate}/s, {one.live_keys} live keys: first record {one.first_start:.1f} s "
                f"after the start; after kill -9 {one.restart:.1f} s, caught up after "
                f"{one.caught_up:.1f} s",
                flush=True,
            )
    document = {"restarts": [asdict(one) for one in results]}
    write_results("restart", document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
