"""Runs the drills and prints a line for each; the status is 1 if anything is wrong."""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from deploy.kafka import QUICK_RESTART, start_broker
from tests.drills.drill_program import BROKER_KILLS, NAMES, run
from tests.drills.drill_scene import LONG, MEDIUM, SHORT, Outcome, Scale
from tests.drills.three_brokers.rounds import play_seeds
from tests.drills.varied.seeds import run_seeds
from tests.integration.job import ROOT


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.startswith("DEDUP_") and equals):
        msg = f"{text!r} is not like DEDUP_STATE=rocksdb"
        raise argparse.ArgumentTypeError(msg)
    return name, value


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed (default: another every time)")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds (default: 1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--long", action="store_true", help="twenty kills and more of all else")
    length.add_argument("--short", action="store_true", help="as the test-suite runs them")
    parser.add_argument("--only", choices=NAMES, action="append", help="may be repeated")
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the job, as DEDUP_STATE=rocksdb; may be repeated",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--varied", action="store_true", help="seeds that draw settings, records and faults"
    )
    kind.add_argument(
        "--cluster", action="store_true", help="seeds that draw faults of a cluster of three"
    )
    parser.add_argument(
        "--parallel",
        type=int,
        default=1,
        metavar="N",
        help="with --varied: N seeds at a time, each with a broker of its own",
    )
    parser.add_argument(
        "--code",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help="with --varied: the tree whose job is run (default: this one)",
    )
    arguments = parser.parse_args()
    scale = LONG if arguments.long else SHORT if arguments.short else MEDIUM
    first = random.randrange(10_000) if arguments.seed is None else arguments.seed
    seeds = range(first, first + arguments.seeds)
    settings = dict(arguments.set)
    if arguments.varied:
        outcomes = run_seeds(seeds, arguments.parallel, arguments.code.resolve(), settings)
    elif arguments.cluster:
        outcomes = play_seeds(seeds, settings)
    else:
        outcomes = _drills(seeds, arguments.only or NAMES, scale, settings)
    failed = 0
    for outcome in outcomes:
        print(outcome, flush=True)
        failed += not outcome.passed
    print("all passed" if not failed else f"{failed} FAILED", flush=True)
    return 1 if failed else 0


def _drills(
    seeds: Iterable[int], names: Sequence[str], scale: Scale, settings: Mapping[str, str]
) -> Iterator[Outcome]:
    # One that comes back soon after it was killed, and one that a busy disk does not fence.
    with (
        start_broker(own=True, settings=QUICK_RESTART) as killed,
        start_broker(own=True) as patient,
    ):
        for seed in seeds:
            for name in names:
                broker = killed if name == BROKER_KILLS else patient
                with tempfile.TemporaryDirectory(prefix="dedup-drill-") as folder:
                    yield run(name, broker, Path(folder), seed, scale, settings)


if __name__ == "__main__":
    sys.exit(main())
