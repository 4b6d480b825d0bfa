"""What a choice of settings costs: `python -m bench.choices`.

Our job exactly once with one setting changed at a time: kinds of key, of window and of
state.  All read the same records, in shuffled order, with medians of the rounds.
Prints a line for each and writes `bench/results/choices.json`.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import asdict, dataclass, field
from statistics import median

from bench.harness.contenders import ours
from bench.harness.inputs import Input, any_name, record_count
from bench.harness.machine import write_results
from bench.harness.measuring import BROKER, Measured, run
from deploy.kafka import start_broker
from operators.windows.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings beside the defaults.  repeats: whether what repeats an event id is found."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    repeats: bool = True


CHOICES = (
    Choice("defaults"),
    Choice("keys: the record key", {"DEDUP_KEYS": '[["@key"]]'}),
    Choice("keys: two fields", {"DEDUP_KEYS": '[["event_id","event_type"]]'}),
    Choice(
        "keys: two combinations",
        {"DEDUP_KEYS": '[["event_id"],["user_id","event_id"]]', "DEDUP_SHARD_BY": '["event_id"]'},
    ),
    # The records differ in what is left in.
    Choice("keys: content", {"DEDUP_KEYS": '["content"]'}, repeats=False),
    Choice(
        "open schema, statistics",
        {"DEDUP_SCHEMA": "open", "DEDUP_STATS_TOPIC": "bench-statistics"},
    ),
    *(Choice(f"window: {name}", {"DEDUP_WINDOW": name}) for name in KINDS if name != "tumbling"),
    Choice("state: bloom", {"DEDUP_STATE": "bloom"}),
    Choice("state: rocksdb", {"DEDUP_STATE": "rocksdb"}),
)


def main() -> int:
    """Measure all, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m bench.choices", description=__doc__)
    parser.add_argument("--records", type=record_count, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Measured]] = {choice.name: [] for choice in CHOICES}
    with start_broker(own=True, settings=BROKER) as broker:
        topic = any_name("choices")
        unique = Input(options.records).produce(broker.bootstrap, topic)
        # The first round does not count: a broker that has just begun compiles.
        for number in range(options.rounds + 1):
            for choice in random.sample(CHOICES, len(CHOICES)):
                contender = ours(**choice.settings)
                one = run(broker.bootstrap, "choices", contender, topic, options.records)
                expected = unique if choice.repeats else options.records
                wrong = abs(one.unique - expected)
                # A Bloom filter may take a unique record for a duplicate.
                allowed = options.records // 500 if choice.name == "state: bloom" else 0
                if wrong > allowed or one.unique + one.duplicate != options.records:
                    print(f"{choice}: {one} should have found {expected}", file=sys.stderr)
                    return 1
                if number:
                    found[choice.name].append(one)
    for name, runs in found.items():
        print(
            f"{name:24} {median(one.records_per_second for one in runs):>9,.0f} records/s  "
            f"{median(one.cpu_seconds for one in runs):5.1f} CPU s/million  "
            f"{max(one.peak_mb for one in runs):5.0f} MB"
        )
    document = {name: [asdict(one) for one in runs] for name, runs in found.items()}
    write_results("choices", {"records": options.records, "choices": document})
    return 0


if __name__ == "__main__":
    sys.exit(main())
