"""Starts a broker, or three, for hand use, and keeps them until Ctrl-C or SIGTERM."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from deploy.kafka.broker import BrokerStartError, NoBrokerError, start_broker
from deploy.kafka.cluster import Cluster


def _wait(line: str) -> NoReturn:
    print(line, flush=True)
    while True:
        time.sleep(1.0)


def main() -> int:
    """Run until told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description=__doc__)
    parser.add_argument("--port", type=int, default=9092, help="default: %(default)s")
    parser.add_argument("--data-dir", type=Path, help="keep the data here; default: temporary")
    parser.add_argument(
        "--three", action="store_true", help="a cluster of three, in Java, on any free ports"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same way out as Ctrl-C
    try:
        if arguments.three:
            with Cluster(folder=arguments.data_dir) as cluster:
                _wait(f"{cluster.bootstrap}  (java; Ctrl-C stops them)")
        with start_broker(port=arguments.port, data_dir=arguments.data_dir) as broker:
            _wait(f"{broker.bootstrap}  ({broker.kind}; Ctrl-C stops it)")
    except KeyboardInterrupt:
        return 0
    except (NoBrokerError, BrokerStartError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
