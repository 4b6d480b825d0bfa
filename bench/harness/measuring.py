"""Runs a contender and measures it, the same way for all."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, IsolationLevel, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.harness.contenders import ENVIRONMENT, Command, Contender, Place

PARTITIONS = 4
_READ_SECONDS = 60.0
_LONGEST_SECONDS = 900.0
_SAMPLE_SECONDS = 0.1

BROKER = {"log.segment.bytes": "268435456"}
"""Settings of a broker that is measured with: fewer files to roll."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    records_per_second: from the first record appended to an output to the last, by
    the broker's clock, so that nobody's start counts.  cpu_seconds: user and system,
    of all its processes, start included, for a million records.  peak_mb: resident
    memory of all its processes.  unique, duplicate: records found in the outputs.
    """

    contender: str
    records_per_second: float
    cpu_seconds: float
    peak_mb: float
    wall_seconds: float
    unique: int
    duplicate: int


class ContenderError(Exception):
    """A contender failed, or its outputs are not what they must be."""


def run(brokers: str, name: str, contender: Contender, source: str, records: int) -> Measured:
    """Run a contender once, on outputs of its own."""
    label = "".join(c if c.isalnum() else "-" for c in name) + f"-{time.time_ns()}"
    outputs = [f"{label}-unique", f"{label}-duplicate"]
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    # The broker's own time of each append is what throughput is taken from.
    config = {"message.timestamp.type": "LogAppendTime"}
    topics = [NewTopic(topic, PARTITIONS, 1, config=config) for topic in outputs]
    for future in admin.create_topics(topics).values():
        future.result()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(brokers, label, source, outputs[0], outputs[1], records, Path(folder))
        recovery = place.folder / "recovery"
        recovery.mkdir()
        subprocess.run(
            [sys.executable, "-m", "bytewax.recovery", str(recovery), "2"],
            check=True,
        )
        commands = contender(place)  # may compile: that is nobody's time
        begun = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = _run_all(commands, place.folder)
        wall = time.monotonic() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    unique, duplicate, seconds = _read_outputs(admin, brokers, outputs)
    admin.delete_topics(outputs)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(
        contender=name,
        records_per_second=round((unique + duplicate) / max(seconds, 0.001)),
        cpu_seconds=round(cpu / records * 1e6, 2),
        peak_mb=round(peak / 1e6, 1),
        wall_seconds=round(wall, 2),
        unique=unique,
        duplicate=duplicate,
    )


def _run_all(commands: list[Command], folder: Path) -> int:
    """Run the processes to their end; return the most memory they held together."""
    errors = [folder / f"process-{number}.txt" for number in range(len(commands))]
    processes = []
    for command, path in zip(commands, errors, strict=True):
        with path.open("wb") as file:
            processes.append(
                psutil.Popen(
                    command.line,
                    env={**ENVIRONMENT, **command.environment},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            )
    peak = 0
    deadline = time.monotonic() + _LONGEST_SECONDS
    try:
        while any(process.poll() is None for process in processes):
            peak = max(peak, sum(map(_resident, processes)))
            if time.monotonic() > deadline:
                msg = "it does not end"
                raise ContenderError(msg)
            time.sleep(_SAMPLE_SECONDS)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    for process, path in zip(processes, errors, strict=True):
        if process.returncode:
            msg = f"status {process.returncode}: {path.read_text(errors='replace')[-1000:]}"
            raise ContenderError(msg)
    return peak


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _read_outputs(admin: AdminClient, brokers: str, topics: list[str]) -> tuple[int, int, float]:
    """Records in each output, and the seconds between the first and the last append."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "bench-outputs",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    places = [TopicPartition(topic, part, 0) for topic in topics for part in range(PARTITIONS)]
    _wait_until_settled(admin, places)
    consumer.assign(places)
    counts = dict.fromkeys(topics, 0)
    stamps: list[int] = []
    ended: set[tuple[str | None, int | None]] = set()
    deadline = time.monotonic() + _READ_SECONDS
    while len(ended) < len(places) and time.monotonic() < deadline:
        messages = consumer.consume(10_000, 0.5)
        records = [message for message in messages if message.error() is None]
        ended |= {(m.topic(), m.partition()) for m in messages if m.error() is not None}
        for topic in topics:
            counts[topic] += sum(message.topic() == topic for message in records)
        of_batch = [stamp for _, stamp in map(Message.timestamp, records)]
        if of_batch:
            stamps += [min(of_batch), max(of_batch)]
    consumer.close()
    seconds = (max(stamps) - min(stamps)) / 1000.0 if stamps else 0.0
    return counts[topics[0]], counts[topics[1]], seconds


def _wait_until_settled(admin: AdminClient, places: list[TopicPartition]) -> None:
    """Wait for the markers of the last transactions: a commit returns before they are written."""
    latest = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]

    def ends(level: IsolationLevel) -> list[int]:
        found = admin.list_offsets(latest, isolation_level=level)
        return [found[place].result().offset for place in places]

    deadline = time.monotonic() + _READ_SECONDS
    while ends(IsolationLevel.READ_COMMITTED) != ends(IsolationLevel.READ_UNCOMMITTED):
        if time.monotonic() > deadline:
            msg = "it left a transaction open"
            raise ContenderError(msg)
        time.sleep(_SAMPLE_SECONDS)
