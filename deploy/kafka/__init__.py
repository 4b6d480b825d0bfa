"""A real Kafka broker for tests, benches, drills and hands: `python -m deploy.kafka`."""

from deploy.kafka.broker import Broker, BrokerStartError, NoBrokerError, start_broker

__all__ = ["Broker", "BrokerStartError", "NoBrokerError", "start_broker"]
