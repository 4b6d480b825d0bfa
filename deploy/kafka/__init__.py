"""A real Kafka broker for tests, benches, drills and hands: `python -m deploy.kafka`."""

from deploy.kafka.broker import Broker, BrokerStartError, NoBrokerError, start_broker
from deploy.kafka.cluster import NODES, Cluster
from deploy.kafka.properties import QUICK_RESTART

__all__ = [
    "NODES",
    "QUICK_RESTART",
    "Broker",
    "BrokerStartError",
    "Cluster",
    "NoBrokerError",
    "start_broker",
]
