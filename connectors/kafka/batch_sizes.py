"""How large a batch may be: brokers check max.message.bytes of a topic for each batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from connectors.kafka.access import LARGEST_BATCH_BYTES, KafkaAccess
from connectors.kafka.requests import REQUEST_SECONDS, KafkaUnreachableError, retrying
from connectors.kafka.topics import topic_config

log = logging.getLogger("dedup.topics")

_LIMITS: Final = ("max.message.bytes", "segment.bytes")
_BATCH_SIZE: Final = "batch.size"
# A topic's own compression.type has brokers compress: what does not compress grows a little.
_ROOM: Final = 100
_SLOW_BYTES: Final = 50_000
_SEEN_SECONDS: Final = 0.1
_NOT_ALLOWED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


def fitted(access: KafkaAccess, input_topic: str | None, topics: Iterable[str]) -> KafkaAccess:
    """Return how to get in with batches that all of the topics take.

    input_topic: where the records come from; one larger than it takes came compressed.
    topics: that are written; they exist, empty names are passed over.  librdkafka counts the
    whole request, uncompressed, and sends a larger record alone: no batch of several records
    is larger than `batch.size`.  Where this user may not ask, the brokers' default is assumed
    and a line says so.  Raises KafkaUnreachableError.
    """
    admin = access.admin()
    input_bytes = None if input_topic is None else _limit(access, admin, input_topic)
    if any(_BATCH_SIZE in settings for settings in (access.common, access.producer)):
        return replace(access, input_bytes=input_bytes)
    limits = {topic: _limit(access, admin, topic) for topic in dict.fromkeys(topics) if topic}
    unknown = [topic for topic, limit in limits.items() if limit is None]
    if unknown:
        log.warning(
            "this user may not see how large a batch may be for %s (DescribeConfigs): if "
            "max.message.bytes of it is below Kafka's default, set %s in DEDUP_PRODUCER below it",
            ", ".join(unknown),
            _BATCH_SIZE,
        )
    known = {topic: limit for topic, limit in limits.items() if limit is not None}
    batch_bytes = LARGEST_BATCH_BYTES
    if known:
        narrowest = min(known, key=lambda topic: known[topic])
        smallest = known[narrowest]
        batch_bytes = max(1, min(batch_bytes, smallest - smallest // _ROOM))
        if batch_bytes < _SLOW_BYTES:
            log.warning(
                "topic %s takes batches of %d bytes, so all topics get no larger ones: that is "
                "slow. Raise its max.message.bytes",
                narrowest,
                smallest,
            )
    return replace(access, input_bytes=input_bytes, batch_bytes=batch_bytes)


def _limit(access: KafkaAccess, admin: AdminClient, topic: str) -> int | None:
    """Largest batch that a topic takes, None if this user may not ask."""
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        try:
            config = retrying(access, lambda: topic_config(admin, topic))
        except KafkaUnreachableError as error:
            if error.code in _NOT_ALLOWED:
                return None
            # Other brokers may hear of a new topic a moment later.
            new = error.code == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not new or time.monotonic() > deadline:
                raise
            time.sleep(_SEEN_SECONDS)
        else:
            return min((int(config[name]) for name in _LIMITS if name in config), default=None)
