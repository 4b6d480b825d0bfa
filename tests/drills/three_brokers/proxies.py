"""The network between clients and each broker of a cluster, to be cut."""

from deploy.kafka import NODES, Cluster
from deploy.kafka.scoped import Scoped
from tests.drills.proxy import Proxy


class Proxies(Scoped):
    """A proxy before each broker; what brokers tell one another does not pass through them."""

    def __init__(self, cluster: Cluster) -> None:
        self._proxies = {
            node: Proxy(ports.shown, ports.hidden) for node, ports in cluster.ports.items()
        }

    def begin(self) -> None:
        """Take connections."""
        self.restore()

    def end(self) -> None:
        """Break all connections and take no more."""
        for proxy in self._proxies.values():
            proxy.end()

    def cut(self, node: int) -> None:
        """Break the connections to a broker, and let none be made."""
        self._proxies[node].cut()

    def stall(self, node: int) -> None:
        """Forward nothing to or from a broker, and keep connections open."""
        self._proxies[node].stall()

    def restore(self) -> None:
        """Let everything pass again."""
        for node in NODES:
            self._proxies[node].restore()
