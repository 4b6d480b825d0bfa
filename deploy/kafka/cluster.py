"""A Kafka cluster of three on this machine, whose brokers can be killed, stopped and held up."""

import atexit
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from deploy.kafka.errors import BrokerStartError
from deploy.kafka.java import JavaNode
from deploy.kafka.ports import free_ports, new_cluster_id
from deploy.kafka.properties import NodePorts, cluster_node
from deploy.kafka.scoped import Scoped

NODES: Final = (1, 2, 3)

# Three on a machine that does other work: little memory, and code that is compiled at once.
_FLAGS: Final = (
    "-Xmx400m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
)
_REQUEST_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2
# A broker that was killed is let in again when its old session has expired, nine seconds later.
_IN_SYNC_SECONDS: Final = 120.0
_PORTS_OF_A_NODE: Final = 7


class Cluster(Scoped):
    """Three nodes, each broker and controller; as a context manager nothing of it is left.

    bootstrap: `host:port,…` of all brokers.  ports: of each node, for proxies before its listener
    `PROXIED`.  proxied: `host:port,…` behind such proxies, which the caller has to start.
    folder: of the nodes' data and logs.
    Every topic has three replicas unless it says otherwise, and two must have what is
    acknowledged.  In Java only.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        folder: Path | None = None,
        *,
        proxied: bool = False,
    ) -> None:
        """settings: added to each server.properties.  folder: where data and logs are kept on
        stop; temporary without one.  proxied: whether nodes reach one another through proxies,
        which the caller has to start before `begin`.
        Raises NoBrokerError without Java 17 or the jars.
        """
        free = iter(free_ports(_PORTS_OF_A_NODE * len(NODES)))
        self.ports = {
            node: NodePorts(*(next(free) for _ in range(_PORTS_OF_A_NODE))) for node in NODES
        }
        self.proxied = ",".join(f"127.0.0.1:{one.shown}" for one in self.ports.values())
        self.bootstrap = ",".join(f"127.0.0.1:{one.direct}" for one in self.ports.values())
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="dedup-cluster-"))
        cluster = new_cluster_id()
        self._nodes = {
            node: JavaNode(
                cluster_node(settings or {}, node, self.ports, proxied=proxied),
                self.folder / f"broker-{node}",
                bootstrap=f"127.0.0.1:{self.ports[node].direct}",
                cluster=cluster,
                temporary=self._temporary,
                flags=_FLAGS,
            )
            for node in NODES
        }
        self._held: set[int] = set()

    def begin(self) -> None:
        """Start all nodes, and wait until they are in sync."""
        atexit.register(self.end)
        try:
            self.start(*NODES)
            self.wait_until_in_sync()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all nodes, and remove their data unless a folder was given."""
        atexit.unregister(self.end)
        for node in self._nodes.values():
            node.kill()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> list[int]:
        """The nodes that run and are not held up."""
        return [node for node in NODES if self.pid(node) is not None and node not in self._held]

    def pid(self, node: int) -> int | None:
        """The process of a node, None while there is none."""
        return self._nodes[node].pid

    def kill(self, *nodes: int) -> None:
        """End nodes as kill -9 does, and wait until they are dead."""
        for node in nodes:
            self._nodes[node].kill()
            self._held.discard(node)

    def shut_down(self, *nodes: int) -> None:
        """Stop nodes cleanly, one after another: each hands over what it leads first."""
        for node in nodes:
            self._nodes[node].pause()

    def start(self, *nodes: int) -> None:
        """Start nodes at once, on their data; wait until they answer."""
        for node in nodes:
            self._nodes[node].launch()
        for node in nodes:
            self._nodes[node].wait_until_ready()

    def hold(self, *nodes: int) -> None:
        """Let nodes stand still, their connections open: SIGSTOP."""
        for node in nodes:
            self._nodes[node].send(signal.SIGSTOP)
            self._held.add(node)

    def let_go(self, *nodes: int) -> None:
        """Let nodes that stand still go on: SIGCONT."""
        for node in nodes:
            self._nodes[node].send(signal.SIGCONT)
            self._held.discard(node)

    def heal(self) -> None:
        """Bring all nodes back, whatever became of them, and wait until they are in sync."""
        self.let_go(*self._held)
        self.start(*(node for node in NODES if self.pid(node) is None))
        self.wait_until_in_sync()

    def leader(self, topic: str, partition: int) -> int:
        """Return the node that leads a partition, −1 while there is none."""
        return self._leader(topic, lambda _: partition)

    def group_coordinator(self, group: str) -> int:
        """Return the node that coordinates a group, −1 while there is none."""
        return self._coordinator("__consumer_offsets", group)

    def transaction_coordinator(self, transactional_id: str) -> int:
        """Return the node that coordinates a transactional id, −1 while there is none."""
        return self._coordinator("__transaction_state", transactional_id)

    def wait_until_in_sync(self, seconds: float = _IN_SYNC_SECONDS) -> None:
        """Wait until all nodes take work and all replicas are in sync.

        Raises BrokerStartError if they are not in time.
        """
        deadline = time.monotonic() + seconds
        while missing := self._out_of_sync():
            if time.monotonic() > deadline:
                message = f"the cluster is not in sync after {seconds:.0f} s: {missing}"
                raise BrokerStartError(message)
            time.sleep(_POLL_SECONDS)

    def _out_of_sync(self) -> str:
        """What is not as it should be; every node is asked, since each has its own view."""
        names: set[str] = set()
        for node in NODES:
            try:
                known = self._metadata([node])
            except KafkaException as error:
                return f"broker {node} does not answer: {error}"
            if sorted(known.brokers) != list(NODES):
                return f"broker {node} knows of {sorted(known.brokers)}"
            if names and names != known.topics.keys():
                return f"broker {node} has not heard of {names ^ known.topics.keys()}"
            names = set(known.topics)
            for name, topic in known.topics.items():
                for number, partition in topic.partitions.items():
                    if partition.leader < 0 or len(partition.isrs) < len(partition.replicas):
                        return f"{name}/{number} has {partition.isrs} of {partition.replicas}"
        return ""

    def _coordinator(self, topic: str, name: str) -> int:
        return self._leader(topic, lambda count: java_hash(name) % count)

    def _leader(self, topic: str, choose: Callable[[int], int]) -> int:
        """Return the leader of a partition; choose: which, given how many there are."""
        found = self._metadata().topics.get(topic)
        if found is None or not found.partitions:
            return -1
        return int(found.partitions[choose(len(found.partitions))].leader)

    def _metadata(self, nodes: Iterable[int] | None = None) -> ClusterMetadata:
        """Ask nodes, all that run by default: one that stands still would keep us waiting."""
        asked = self.running if nodes is None else nodes
        bootstrap = ",".join(self._nodes[node].bootstrap for node in asked)
        return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(
            timeout=_REQUEST_SECONDS
        )


def java_hash(text: str) -> int:
    """Return what Kafka places groups and transactional ids by: Java's hash, without its sign."""
    found = 0
    units = text.encode("utf-16-be")
    for high, low in zip(units[::2], units[1::2], strict=True):
        found = (31 * found + 256 * high + low) & 0xFFFF_FFFF
    signed = found - (1 << 32) if found >= 1 << 31 else found
    return 0 if signed == -(1 << 31) else abs(signed)
