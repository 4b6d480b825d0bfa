"""How many replicas topics have, and the topics that we create get."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, ResourceType

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import REQUEST_SECONDS, answer_to, list_topics

_BROKER_DEFAULT: Final = -1
_DEFAULT_FACTOR: Final = "default.replication.factor"


def replication_like(access: KafkaAccess, admin: AdminClient, topic: str) -> int:
    """Return the replication factor for a new topic: at least that of another topic.

    The brokers' default is 1 unless it is set, also on a cluster of several: where that is less
    than the other topic has, it gets as many.  Raises KafkaUnreachableError.
    """
    cluster = list_topics(access, admin)
    factor = replicas_of(cluster, topic) or 1
    if factor == 1:
        return _BROKER_DEFAULT
    default = _default_factor(admin, cluster)
    return _BROKER_DEFAULT if default is not None and default >= factor else factor


def replicas_of(cluster: ClusterMetadata, topic: str) -> int | None:
    """Return how many replicas each partition of a topic has at least; None without the topic."""
    metadata = cluster.topics.get(topic)
    partitions = [] if metadata is None else metadata.partitions.values()
    return min((len(partition.replicas) for partition in partitions), default=None)


def _default_factor(admin: AdminClient, cluster: ClusterMetadata) -> int | None:
    """Return the brokers' default, None if this user may not ask for it."""
    resource = ConfigResource(ResourceType.BROKER, str(cluster.orig_broker_id))
    futures = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    try:
        config = answer_to(futures[resource])
    except KafkaException:
        return None
    return int(config[_DEFAULT_FACTOR].value) if _DEFAULT_FACTOR in config else None
