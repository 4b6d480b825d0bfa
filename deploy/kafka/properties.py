"""The server.properties of a broker that is alone: controller and broker in one node."""

from collections.abc import Mapping
from typing import Final

_ALONE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Each partition of an internal topic is files to make and to load.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "num.partitions": "4",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # A node that is alone has nobody to leave its partitions to, however long a busy disk holds
    # it up: nine seconds by default.
    "broker.session.timeout.ms": "60000",
    # The default of 128 MiB is a sixth of the heap that a local broker gets.
    "log.cleaner.dedupe.buffer.size": "16777216",
}

# After a kill -9 the controller lets the node back in only when its old session has expired.
QUICK_RESTART: Final = {"broker.session.timeout.ms": "5000", "broker.heartbeat.interval.ms": "500"}
"""Settings for a broker that is to be killed and restarted."""


def single_node(
    settings: Mapping[str, str], *, listen: str, advertise: str, port: int, controller: int
) -> dict[str, str]:
    """Broker settings for one node.

    settings: added, and stronger than ours.  listen, advertise: the broker's host, as it binds
    it and as clients reach it.  port, controller: the two ports.
    """
    return {
        **_ALONE,
        "listeners": f"PLAINTEXT://{listen}:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://{advertise}:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        **settings,
    }
