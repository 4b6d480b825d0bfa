"""Where a local broker listens, and whether it answers."""

import base64
import secrets
import socket
import time
import uuid
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.kafka.errors import BrokerStartError

# Below the ephemeral range: a client that keeps dialling a dead port of that range on loopback
# can end up connected to itself, and the broker could not have its port back.
_PORTS = range(20_000, 32_000)
_TRIES = 200
# Java needs about five seconds on a quiet machine.
_START_SECONDS = 120.0


def free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1 that nothing listens on."""
    found: set[int] = set()
    for _ in range(_TRIES):
        if len(found) == count:
            return sorted(found)
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.add(port)
    message = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise BrokerStartError(message)


def new_cluster_id() -> str:
    """Return an id that no other broker has: how ours is told from one that has its port."""
    while True:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster.startswith("-"):  # Kafka's tools would take it for an option
            return cluster


def wait_until_ready(
    bootstrap: str, check_alive: Callable[[], None], cluster: str | None = None
) -> None:
    """Wait until the broker lists itself as one that takes work.

    bootstrap: `host:port,…`.  check_alive: raises when waiting is pointless.
    cluster: the id it must have; None takes any.
    Raises BrokerStartError when two minutes were not enough, or when another broker answers.
    """
    deadline = time.monotonic() + _START_SECONDS
    # A plain connection first: librdkafka backs off longer and longer from a refused one.
    while not _any_port_open(bootstrap):
        check_alive()
        _pause_until(deadline, bootstrap)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    while True:
        check_alive()
        try:
            answer = admin.list_topics(timeout=2.0)
        except KafkaException:
            answer = None  # not yet: the deadline decides
        if answer is not None and cluster not in {None, answer.cluster_id}:
            message = f"another Kafka broker already listens on {bootstrap}"
            raise BrokerStartError(message)
        if answer is not None and answer.brokers:
            return
        _pause_until(deadline, bootstrap)


def _any_port_open(bootstrap: str) -> bool:
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
                return True
        except OSError:
            continue
    return False


def _pause_until(deadline: float, bootstrap: str) -> None:
    if time.monotonic() > deadline:
        message = f"the broker at {bootstrap} did not answer within {_START_SECONDS:.0f} s"
        raise BrokerStartError(message)
    time.sleep(0.1)
