"""The server.properties of nodes that are controller and broker: one alone, or one of several."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ANY = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "share.coordinator.state.topic.num.partitions": "1",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # The default of 128 MiB is a large part of the heap that a local broker gets.
    "log.cleaner.dedupe.buffer.size": "16777216",
}
_ALONE = {
    **_ANY,
    "node.id": "1",
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
    "num.partitions": "4",
    # A node that is alone has nobody to leave its partitions to, however long a busy disk holds
    # it up: nine seconds by default.
    "broker.session.timeout.ms": "60000",
}

# What a cluster in production has: one broker of three may be away, and nothing is lost.
_OF_THREE = {
    **_ANY,
    "inter.broker.listener.name": "PEERS",
    "listener.security.protocol.map": (
        "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,PEERS:PLAINTEXT,CONTROLLER:PLAINTEXT"
    ),
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # Each broker leads as many.
    "offsets.topic.num.partitions": "6",
    "transaction.state.log.num.partitions": "6",
    "num.partitions": "6",
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


@dataclass(frozen=True)
class NodePorts:
    """Where a node of a cluster listens.

    direct: for clients.  hidden: for those that come through a proxy, which must listen on shown.
    controller, peers: for the other nodes, or for proxies that listen on controller_shown and
    peers_shown.
    """

    direct: int
    hidden: int
    shown: int
    controller: int
    controller_shown: int
    peers: int
    peers_shown: int


def cluster_node(
    settings: Mapping[str, str], node: int, nodes: Mapping[int, NodePorts], *, proxied: bool
) -> dict[str, str]:
    """Broker settings for one node of a cluster on 127.0.0.1.

    settings: added, and stronger than ours.  nodes: all of them, by id.  proxied: whether nodes
    reach one another through proxies.
    """
    own = nodes[node]
    voters = (
        f"{one}@127.0.0.1:{ports.controller_shown if proxied else ports.controller}"
        for one, ports in nodes.items()
    )
    return {
        **_OF_THREE,
        "node.id": str(node),
        "listeners": _addresses(
            PLAINTEXT=own.direct, PROXIED=own.hidden, PEERS=own.peers, CONTROLLER=own.controller
        ),
        "advertised.listeners": _addresses(
            PLAINTEXT=own.direct,
            PROXIED=own.shown,
            PEERS=own.peers_shown if proxied else own.peers,
        ),
        "controller.quorum.voters": ",".join(voters),
        **settings,
    }


def _addresses(**ports: int) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
