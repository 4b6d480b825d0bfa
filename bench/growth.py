"""How cost grows with its causes: `python -m bench.growth`.

One cause is changed at a time: record size, share of duplicates, lanes, partitions,
live keys, processes.  Ours exactly once, and the bare loop where it has the same
cause.  Prints a line for each and writes `bench/results/growth.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from bench.harness.contenders import Command, Contender, Place, bare, ours, settings_of
from bench.harness.inputs import Input, LiveKeys, any_name, record_count
from bench.harness.machine import write_results
from bench.harness.measuring import BROKER, Measured, run
from deploy.kafka import start_broker
from flows.settings.fingerprint import fingerprint
from flows.settings.load import load_settings

_PLAIN = Input(records=500_000)


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: what was changed, to what, and by whom it was read."""

    cause: str
    value: int
    contender: str = "ours"
    stream: Input = _PLAIN
    processes: int = 1
    live_keys: int = 0
    settings: dict[str, str] = field(default_factory=dict)

    def make(self) -> Contender:
        """Return the contender."""
        if self.contender == "bare":
            return bare("loop")
        if self.live_keys:
            return with_live_keys(self.live_keys, **self.settings)
        return ours(self.processes, **self.settings)


def with_live_keys(keys: int, **settings: str) -> Contender:
    """Our job, which already holds so many keys."""

    def commands(place: Place) -> list[Command]:
        held = {"DEDUP_MAX_KEYS": str(2 * keys + 2 * place.records), **settings}
        found = load_settings(settings_of(place, **held))
        live = LiveKeys(keys, found.lanes)
        live.write(place.brokers, place.name, place.input, fingerprint(found))
        return ours(**held)(place)

    return commands


def points(records: int) -> Iterator[Point]:
    """All measurements."""
    plain = replace(_PLAIN, records=records)
    for size in (100, 1000, 10_000):
        # As many bytes as there are to be read, but for short records.
        fewer = replace(plain, size=size, records=min(records, records * 1000 // size))
        for contender in ("bare", "ours"):
            yield Point("bytes a record", size, contender, fewer)
    for percent in (0, 20, 90):
        yield Point("% duplicates", percent, stream=replace(plain, share=percent / 100))
    for lanes in (1, 2, 4, 8, 16):
        yield Point("lanes", lanes, stream=plain, settings={"DEDUP_LANES": str(lanes)})
    for partitions in (4, 32, 200, 1_000):
        for contender in ("bare", "ours"):
            yield Point(
                "partitions", partitions, contender, stream=replace(plain, partitions=partitions)
            )
    for keys in (10_000, 100_000, 1_000_000, 10_000_000):
        yield Point("live keys", keys, stream=plain, live_keys=keys)
    for keys in (100_000, 10_000_000):
        yield Point(
            "live keys on disk",
            keys,
            stream=plain,
            live_keys=keys,
            settings={"DEDUP_STATE": "rocksdb"},
        )
    for processes in (1, 2):
        yield Point("processes", processes, stream=plain, processes=processes)


def main() -> int:
    """Measure what was asked for, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--records", type=record_count, default=500_000)
    parser.add_argument("--only", help="causes, separated by semicolons")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    wanted = options.only.split(";") if options.only else None
    results: list[tuple[Point, Measured]] = []
    with start_broker(own=True, settings=BROKER) as broker:
        made: dict[Input, tuple[str, int]] = {}
        for point in points(options.records):
            if wanted is not None and point.cause not in wanted:
                continue
            if point.stream not in made:
                topic = any_name("growth")
                made[point.stream] = topic, point.stream.produce(broker.bootstrap, topic)
            topic, unique = made[point.stream]
            records = point.stream.records
            runs = [
                run(broker.bootstrap, "growth", point.make(), topic, records)
                for _ in range(options.rounds)
            ]
            one = sorted(runs, key=lambda one: one.records_per_second)[len(runs) // 2]
            truth = (records, 0) if point.contender == "bare" else (unique, records - unique)
            if (one.unique, one.duplicate) != truth:
                print(f"{point}: {one} should have found {truth}", file=sys.stderr)
                return 1
            results.append((point, one))
            print(
                f"{point.cause:18} {point.value:>10,} {point.contender:5} "
                f"{one.records_per_second:>9,.0f} records/s  {one.cpu_seconds:6.1f} CPU s/million"
                f"  {one.peak_mb:7.0f} MB",
                flush=True,
            )
    document = {
        "points": [asdict(point) | {"measured": asdict(one)} for point, one in results],
    }
    write_results("growth", document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
