"""Programs that run until they are stopped, for the latency bench."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

from bench.peers.kafka_streams import java_command


@dataclass(frozen=True, slots=True)
class Topics:
    """Where a contender reads and writes."""

    input: str
    unique: str
    duplicate: str
    late: str
    invalid: str

    def all(self) -> tuple[str, ...]:
        """Every topic's name."""
        return astuple(self)


def _environment(brokers: str, topics: Topics, app_id: str) -> dict[str, str]:
    return {
        **os.environ,
        "DEDUP_BROKERS": brokers,
        "DEDUP_APP_ID": app_id,
        "DEDUP_INPUT_TOPIC": topics.input,
        "DEDUP_UNIQUE_TOPIC": topics.unique,
        "DEDUP_DUPLICATE_TOPIC": topics.duplicate,
        "DEDUP_LATE_TOPIC": topics.late,
        "DEDUP_INVALID_TOPIC": topics.invalid,
    }


def job_of(
    brokers: str, topics: Topics, app_id: str, recovery: Path, settings: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start our job with recovery on and an epoch every ten seconds."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "bytewax.run", "flows.dedup"),
            *("-r", str(recovery), "-s", "10", "-b", "0"),
        ],
        env={**_environment(brokers, topics, app_id), **settings},
    )


@contextmanager
def ours(brokers: str, topics: Topics, app_id: str, *, settings: dict[str, str]) -> Iterator[None]:
    """Run our job until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "bytewax.recovery", folder, "1"], check=True)
        job = job_of(brokers, topics, app_id, Path(folder), settings)
        try:
            yield
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(30)


@contextmanager
def kafka_streams(brokers: str, topics: Topics, app_id: str, *, store: str) -> Iterator[None]:
    """Kafka Streams, exactly_once_v2, one thread, a commit every 100 ms."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            *(brokers, app_id, topics.input, topics.unique, topics.duplicate),
            *(store, "exactly_once_v2", "0", str(Path(folder, "state"))),
        ]
        job = subprocess.Popen([*java_command(), *arguments], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(30)


CONTENDERS: dict[str, Callable[[str, Topics, str], AbstractContextManager[None]]] = {
    "ours": partial(ours, settings={}),
    "ours-8-lanes": partial(ours, settings={"DEDUP_LANES": "8"}),
    "kafka-streams": partial(kafka_streams, store="keyvalue"),
}
