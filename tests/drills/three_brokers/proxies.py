"""The network between clients and each broker of a cluster, and between brokers, to be cut."""

from deploy.kafka import NODES, Cluster
from deploy.kafka.scoped import Scoped
from tests.drills.proxy import Proxy
from tests.drills.three_brokers.peer_proxy import PeerProxy


class Proxies(Scoped):
    """A proxy before each broker for clients, and two for the other brokers.

    The latter are for a cluster made with `proxied=True`; begin it after them.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._proxies = {
            node: Proxy(ports.shown, ports.hidden) for node, ports in cluster.ports.items()
        }
        self._between = {
            node: [
                PeerProxy(ports.peers_shown, ports.peers, self._pids),
                PeerProxy(ports.controller_shown, ports.controller, self._pids),
            ]
            for node, ports in cluster.ports.items()
        }

    def begin(self) -> None:
        """Take connections."""
        self.restore()

    def end(self) -> None:
        """Break all connections and take no more."""
        for proxy in self._all():
            proxy.end()

    def cut(self, node: int) -> None:
        """Break the clients' connections to a broker, and let none be made."""
        self._proxies[node].cut()

    def stall(self, node: int) -> None:
        """Forward nothing to or from a broker's clients, and keep connections open."""
        self._proxies[node].stall()

    def cut_off(self, node: int) -> None:
        """Break the connections between a broker and the others; clients reach all of them."""
        own = self._cluster.pid(node)
        for other, proxies in self._between.items():
            for proxy in proxies:
                proxy.block([pid for pid in self._pids() if (pid == own) != (other == node)])

    def restore(self) -> None:
        """Let everything pass again."""
        for proxy in self._all():
            proxy.restore()

    def _all(self) -> list[Proxy]:
        return [*self._proxies.values(), *(one for pair in self._between.values() for one in pair)]

    def _pids(self) -> list[int]:
        found = (self._cluster.pid(node) for node in NODES)
        return [pid for pid in found if pid is not None]
