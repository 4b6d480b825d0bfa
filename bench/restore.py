"""How long a lane takes to be restored from its changelog: `python -m bench.restore`."""

import argparse
import logging
import secrets
import sys
import time
from functools import partial

import numpy as np
from confluent_kafka import Producer

from connectors.changelog import Changelog
from connectors.changelog_format import pack
from connectors.kafka_clients import KafkaAccess
from connectors.opened_lanes import OpenedLanes
from deploy.kafka import start_broker
from operators.deduplicate import LaneChange, LaneSpec
from operators.verdicts import Delta
from operators.windows.tumbling import TumblingStore

FINGERPRINT = {"DEDUP_KEYS": '[["event_id"]]', "DEDUP_WINDOW": '"tumbling"'}
INPUT = "restore-input"
BEGAN = 1_700_000_000.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.restore", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000, help="default: %(default)s")
    parser.add_argument("--lanes", type=int, default=4, help="default: %(default)s")
    parser.add_argument(
        "--keys-a-transaction",
        type=int,
        default=1000,
        help="what a lane commits at a time; many small ones take longest (default: %(default)s)",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with start_broker(own=True) as broker:
        access = KafkaAccess(broker.bootstrap, f"restore-{secrets.token_hex(3)}")
        changelog = Changelog(access, arguments.lanes)
        changelog.ensure(INPUT)
        each = arguments.keys // arguments.lanes
        for lane in range(arguments.lanes):
            _fill(access, changelog, lane, each, arguments.keys_a_transaction)
        _restore(access, changelog, arguments.lanes)
    return 0


def _fill(access: KafkaAccess, changelog: Changelog, lane: int, keys: int, at_once: int) -> None:
    """Write a changelog as a lane does, but for the transactions: they are markers to a reader."""
    producer = Producer(access.producer_settings("fill"))
    draw = np.random.default_rng(lane)
    for number, first in enumerate(range(0, keys, at_once), 1):
        count = min(at_once, keys - first)
        offsets = np.arange(first, first + count)
        change = LaneChange(
            number=number,
            positions={0: first + count},
            largest={0: BEGAN + first / 10_000},
            watermark=BEGAN + first / 10_000,
            delta=Delta(
                draw.integers(0, 2**64 - 1, (count, 2), np.uint64, endpoint=True),
                BEGAN + offsets / 10_000,
                offsets,
            ),
        )
        for value in pack(change, FINGERPRINT):
            while True:
                try:
                    producer.produce(changelog.topic, value, partition=lane)
                except BufferError:
                    producer.poll(0.05)
                else:
                    break
    producer.flush()


def _restore(access: KafkaAccess, changelog: Changelog, lanes: int) -> None:
    """Restore all lanes one after another, as a single worker does, then read without applying."""
    consumer = changelog.consumer()
    began = time.monotonic()
    records = sum(1 for lane in range(lanes) for _ in changelog.read(consumer, lane, 0))
    read = time.monotonic() - began
    consumer.close()
    opened = OpenedLanes(access, changelog, FINGERPRINT)
    spec = LaneSpec(partial(TumblingStore, 3600.0), 300.0, 30.0, FINGERPRINT, changelog=True)
    began, cpu = time.monotonic(), time.process_time()
    keys = sum(len(opened.lane(lane, spec, None).store) for lane in range(lanes))
    took = time.monotonic() - began
    print(f"{keys} keys in {records} records of {lanes} lanes")
    cpu = time.process_time() - cpu
    print(
        f"restored in {took:.1f} s ({keys / took:.0f} keys/s, {cpu:.1f} s of CPU); "
        f"only read in {read:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
