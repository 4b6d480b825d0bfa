"""Starts a broker for hand use and keeps it until Ctrl-C or SIGTERM."""

import argparse
import signal
import sys
import time
from pathlib import Path

from deploy.kafka.broker import BrokerStartError, NoBrokerError, start_broker


def main() -> int:
    """Run until told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description=__doc__)
    parser.add_argument("--port", type=int, default=9092, help="default: %(default)s")
    parser.add_argument("--data-dir", type=Path, help="keep the data here; default: temporary")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same way out as Ctrl-C
    try:
        with start_broker(port=arguments.port, data_dir=arguments.data_dir) as broker:
            print(f"{broker.bootstrap}  ({broker.kind}; Ctrl-C stops it)", flush=True)
            while True:
                time.sleep(1.0)
    except KeyboardInterrupt:
        return 0
    except (NoBrokerError, BrokerStartError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
