"""How long a lane takes to be restored from its changelog: `python -m bench.restore`."""

import argparse
import logging
import sys
import time
from functools import partial

from bench.harness.inputs import LiveKeys, any_name
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.lane_opener import LaneOpener
from connectors.kafka.access import KafkaAccess
from deploy.kafka import start_broker
from operators.lanes.spec import LaneSpec
from operators.windows.tumbling import TumblingStore

FINGERPRINT = {"DEDUP_KEYS": '[["event_id"]]', "DEDUP_WINDOW": '"tumbling"'}
INPUT = "restore-input"


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
        live = LiveKeys(arguments.keys, arguments.lanes, arguments.keys_a_transaction)
        access, changelog = live.write(broker.bootstrap, any_name("restore"), INPUT, FINGERPRINT)
        _restore(access, changelog, arguments.lanes)
    return 0


def _restore(access: KafkaAccess, changelog: Changelog, lanes: int) -> None:
    """Read all lanes, then restore them side by side, as a process does."""
    consumer = changelog.consumer()
    began = time.monotonic()
    records = sum(1 for lane in range(lanes) for _ in changelog.read(consumer, lane, 0))
    read = time.monotonic() - began
    consumer.close()
    spec = LaneSpec(partial(TumblingStore, 3600.0), 300.0, 30.0, FINGERPRINT, changelog=True)
    opener = LaneOpener(access, changelog, spec)
    began, cpu = time.monotonic(), time.process_time()
    for lane in range(lanes):
        opener.prepare(lane)
    keys = sum(len(opener.open(lane, None).store) for lane in range(lanes))
    took = time.monotonic() - began
    print(f"{keys} keys in {records} records of {lanes} lanes")
    cpu = time.process_time() - cpu
    print(
        f"restored in {took:.1f} s ({keys / took:.0f} keys/s, {cpu:.1f} s of CPU); "
        f"only read in {read:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
