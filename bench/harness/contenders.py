"""What is measured: each contender is a command that reads a topic to its end."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.kafka_streams import java_command


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender reads and writes, and a folder for its state.

    records: how many there are to read.  name: its own, for application ids.
    """

    brokers: str
    name: str
    input: str
    unique: str
    duplicate: str
    records: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start."""

    line: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


Contender = Callable[[Place], list[Command]]
"""The processes of a contender; they end by themselves when everything is written."""


def bare(how: str) -> Contender:
    """Consume and produce, nothing else, by a `loop` or by `columns`."""

    def commands(place: Place) -> list[Command]:
        arguments = [place.brokers, place.input, place.unique, str(place.records), how]
        return [Command([sys.executable, "-m", "bench.peers.bare_loop", *arguments])]

    return commands


def plain(place: Place) -> list[Command]:
    """The plain per-record Bytewax flow, without recovery."""
    environment = {
        "BENCH_BROKERS": place.brokers,
        "BENCH_INPUT": place.input,
        "BENCH_UNIQUE": place.unique,
        "BENCH_DUPLICATE": place.duplicate,
    }
    return [Command([sys.executable, "-m", "bytewax.run", "bench.peers.plain_flow"], environment)]


def settings_of(place: Place, **settings: str) -> dict[str, str]:
    """Environment of our job."""
    return {
        "DEDUP_BROKERS": place.brokers,
        "DEDUP_APP_ID": place.name,
        "DEDUP_INPUT_TOPIC": place.input,
        "DEDUP_UNIQUE_TOPIC": place.unique,
        "DEDUP_DUPLICATE_TOPIC": place.duplicate,
        "DEDUP_LATE_TOPIC": f"{place.name}-late",
        "DEDUP_INVALID_TOPIC": f"{place.name}-invalid",
        "DEDUP_STOP_AT_END": "true",
        "DEDUP_STATE_DIR": str(place.folder / "state"),
        **settings,
    }


def ours(processes: int = 1, /, **settings: str) -> Contender:
    """Our job, with recovery on and an epoch every two seconds."""

    def commands(place: Place) -> list[Command]:
        recovery = place.folder / "recovery"
        environment = settings_of(place, **settings)
        line = [sys.executable, "-m", "bytewax.run", "flows.dedup"]
        line += ["-r", str(recovery), "-s", "2", "-b", "0"]
        if processes == 1:
            return [Command(line, environment)]
        addresses = ";".join(f"127.0.0.1:{port}" for port in _free_ports(processes))
        return [
            Command([*line, "-i", str(number), "-a", addresses], environment)
            for number in range(processes)
        ]

    return commands


def kafka_streams(store: str, guarantee: str) -> Contender:
    """Kafka Streams with one thread and a commit every 100 ms."""

    def commands(place: Place) -> list[Command]:
        arguments = [place.brokers, place.name, place.input, place.unique, place.duplicate]
        arguments += [store, guarantee, str(place.records), str(place.folder / "streams")]
        return [Command([*java_command(), *arguments])]

    return commands


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


CONTENDERS: dict[str, Contender] = {
    "bare": bare("loop"),
    "bare, by columns": bare("columns"),
    "plain": plain,
    "at_least_once": ours(DEDUP_GUARANTEE="at_least_once"),
    "at_least_once, 8 lanes": ours(DEDUP_GUARANTEE="at_least_once", DEDUP_LANES="8"),
    "exactly_once": ours(),
    "exactly_once, 8 lanes": ours(DEDUP_LANES="8"),
    "exactly_once, 2 processes": ours(2),
    "exactly_once, statistics": ours(DEDUP_STATS_TOPIC="bench-statistics"),
    "streams window": kafka_streams("window", "at_least_once"),
    "streams window, exactly once": kafka_streams("window", "exactly_once_v2"),
    "streams key-value, exactly once": kafka_streams("keyvalue", "exactly_once_v2"),
}

RATIOS = (
    ("at_least_once", "bare"),
    ("at_least_once", "bare, by columns"),
    ("at_least_once", "plain"),
    ("exactly_once", "bare"),
    ("exactly_once", "bare, by columns"),
    ("exactly_once", "plain"),
    ("exactly_once", "at_least_once"),
    ("at_least_once, 8 lanes", "at_least_once"),
    ("exactly_once, 8 lanes", "exactly_once"),
    ("exactly_once, 8 lanes", "at_least_once, 8 lanes"),
    ("exactly_once, statistics", "exactly_once"),
    ("exactly_once", "streams key-value, exactly once"),
    ("exactly_once", "streams window, exactly once"),
)
"""Pairs whose throughput is compared: the first divided by the second."""

ENVIRONMENT = {**os.environ, "RUST_BACKTRACE": "0"}
