"""`make bench`: ours beside the limit, the plain flow and Kafka Streams, in one run.

Prints a table and writes `bench/results/throughput.json`.  Only ratios within one
run say something: machines are noisy.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict

from bench.harness.contenders import CONTENDERS, RATIOS
from bench.harness.inputs import Input, record_count
from bench.harness.machine import write_results
from bench.harness.measuring import BROKER, PARTITIONS, ContenderError, Measured, run
from deploy.kafka import start_broker

INPUT = "bench-events"


def _median(runs: list[Measured]) -> tuple[float, float]:
    rates = [one.records_per_second for one in runs]
    return statistics.median(rates), (max(rates) - min(rates)) / 2


def _ratios(figures: Mapping[str, float]) -> dict[str, float]:
    """Of each pair that was measured, the first divided by the second."""
    return {
        f"{one} / {other}": round(figures[one] / figures[other], 2)
        for one, other in RATIOS
        if one in figures and other in figures
    }


def _busy() -> str | None:
    """What to say of a machine that does something else, None if it does not."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < cores / 2:
        return None
    return (
        f"the machine is busy (load {load:.1f} on {cores} cores): believe the CPU seconds, "
        "not the records a second"
    )


def main() -> int:
    """Measure what was asked for, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--records", type=record_count, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before those that count")
    parser.add_argument("--only", help="contenders, separated by semicolons")
    parser.add_argument("--duplicates", type=float, default=0.2)
    parser.add_argument("--bytes", type=int, default=190)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text-times", action="store_true", help="event times are RFC 3339")
    options = parser.parse_args()
    names = options.only.split(";") if options.only else list(CONTENDERS)
    results: dict[str, list[Measured]] = {name: [] for name in names}
    busy = _busy()
    if busy:
        print(busy, file=sys.stderr)
    with start_broker(own=True, settings=BROKER) as broker:
        stream = Input(
            options.records,
            options.bytes,
            options.duplicates,
            PARTITIONS,
            options.seed,
            text=options.text_times,
        )
        unique = stream.produce(broker.bootstrap, INPUT)
        order = [name for name in names for _ in range(options.rounds)]
        random.Random(options.seed).shuffle(order)
        # A broker that has just begun compiles for seconds, on the contenders' processors.
        before = names * options.warm_up
        for turn, name in enumerate((*before, *order)):
            try:
                one = run(broker.bootstrap, name, CONTENDERS[name], INPUT, options.records)
            except FileNotFoundError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
            except ContenderError as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
            truth = (
                (options.records, 0)
                if name.startswith("bare")
                else (unique, options.records - unique)
            )
            if (one.unique, one.duplicate) != truth:
                print(f"{name}: {one} should have found {truth}", file=sys.stderr)
                return 1
            counts = turn >= len(before)
            if counts:
                results[name].append(one)
            print(
                f"{name:32} {one.records_per_second:>9,.0f} records/s  "
                f"{one.cpu_seconds:6.1f} CPU s/million  {one.peak_mb:7.0f} MB  "
                f"{one.wall_seconds:6.1f} s{'' if counts else '  (warm-up)'}",
                flush=True,
            )
    rates = {name: _median(runs) for name, runs in results.items() if runs}
    ratios = _ratios({name: rate for name, (rate, _) in rates.items()})
    cpu_ratios = _ratios(
        {name: statistics.median(one.cpu_seconds for one in results[name]) for name in rates}
    )
    for pair, ratio in ratios.items():
        print(f"{pair:64} {ratio:6.2f} of the records/s, {cpu_ratios[pair]:6.2f} of the CPU")
    write_results(
        "throughput",
        {
            "options": vars(options),
            "busy": busy,
            "ratios": ratios,
            "cpu_ratios": cpu_ratios,
            "medians": {n: {"rate": r, "spread": s} for n, (r, s) in rates.items()},
            "runs": [asdict(one) for runs in results.values() for one in runs],
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
