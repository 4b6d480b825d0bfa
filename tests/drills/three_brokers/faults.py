"""What can befall the brokers of a cluster, and how long the job may be silent then."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.kafka import NODES, Cluster
from tests.drills.three_brokers.proxies import Proxies
from tests.drills.three_brokers.slow_disk import SlowDisk

# By then its session has expired, and others lead what it led.
_AWAY_SECONDS: Final = 15.0
_HELD_SECONDS: Final = 12.0
_CUT_SECONDS: Final = 10.0
_OUTAGE_SECONDS: Final = 5.0
# Longer than a transaction may be open (transaction.timeout.ms): the brokers abort them all.
_LONG_OUTAGE_SECONDS: Final = 90.0
_SLOW_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Place:
    """Where faults strike.  app_id: of the job, which names its group and transactions."""

    cluster: Cluster
    proxies: Proxies
    app_id: str
    draw: random.Random

    @property
    def any_broker(self) -> int:
        return self.draw.choice(NODES)


@dataclass(frozen=True)
class Fault:
    """strike: returns when everything runs again, though not yet in sync.

    silence_seconds: how long the job may be silent; None where that is the brokers' to say.
    proxied: the job must come through the proxies.
    """

    strike: Callable[[Place], None]
    silence_seconds: float | None = None
    proxied: bool = False


def _kill(place: Place, node: int) -> None:
    assert node > 0, "nobody coordinates it"
    place.cluster.kill(node)
    time.sleep(_AWAY_SECONDS)
    place.cluster.start(node)


def _kill_one(place: Place) -> None:
    _kill(place, place.any_broker)


def _kill_group_coordinator(place: Place) -> None:
    _kill(place, place.cluster.group_coordinator(place.app_id))


def _kill_transaction_coordinator(place: Place) -> None:
    _kill(place, place.cluster.transaction_coordinator(f"{place.app_id}-lane-0"))


def _roll(place: Place) -> None:
    for node in NODES:
        place.cluster.shut_down(node)
        place.cluster.start(node)
        place.cluster.wait_until_in_sync()


def _hold_one(place: Place) -> None:
    node = place.any_broker
    place.cluster.hold(node)
    time.sleep(_HELD_SECONDS)
    place.cluster.let_go(node)


def _kill_two(place: Place) -> None:
    nodes = place.draw.sample(NODES, 2)
    place.cluster.kill(*nodes)
    time.sleep(_OUTAGE_SECONDS)
    place.cluster.start(*nodes)


def _kill_all(place: Place, seconds: float = _OUTAGE_SECONDS) -> None:
    place.cluster.kill(*NODES)
    time.sleep(seconds)
    place.cluster.start(*NODES)


def _kill_all_for_long(place: Place) -> None:
    _kill_all(place, _LONG_OUTAGE_SECONDS)


def _cut_one(place: Place) -> None:
    place.proxies.cut(place.any_broker)
    time.sleep(_CUT_SECONDS)
    place.proxies.restore()


def _stall_one(place: Place) -> None:
    place.proxies.stall(place.any_broker)
    time.sleep(_CUT_SECONDS)
    place.proxies.restore()


def _cut_off_one(place: Place) -> None:
    """Until its session expires, nothing that it leads can be written."""
    place.proxies.cut_off(place.any_broker)
    time.sleep(_AWAY_SECONDS)
    place.proxies.restore()


def _slow_disk(place: Place) -> None:
    with SlowDisk(place.cluster):
        time.sleep(_SLOW_SECONDS)


FAULTS: Final[Mapping[str, Fault]] = {
    "kill-one": Fault(_kill_one, 15.0),
    "roll": Fault(_roll, 15.0),
    "hold-one": Fault(_hold_one, 45.0),
    "kill-group-coordinator": Fault(_kill_group_coordinator, 15.0),
    "kill-transaction-coordinator": Fault(_kill_transaction_coordinator, 15.0),
    "kill-two": Fault(_kill_two),
    "kill-all": Fault(_kill_all),
    "kill-all-for-long": Fault(_kill_all_for_long),
    "slow-disk": Fault(_slow_disk),
    # Clients that still reach it learn late that others lead what it led.
    "cut-off-one": Fault(_cut_off_one, 45.0),
    # To the job it is as one that stands still.
    "cut-one": Fault(_cut_one, 45.0, proxied=True),
    "stall-one": Fault(_stall_one, 45.0, proxied=True),
}
