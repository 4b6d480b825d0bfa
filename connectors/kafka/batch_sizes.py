"""How large a batch may be: brokers check a topic's max.message.bytes for each batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from connectors.kafka.access import MAX_BATCH_BYTES, KafkaAccess
from connectors.kafka.requests import REQUEST_SECONDS, KafkaUnreachableError, retrying
from connectors.kafka.topics import topic_config

log = logging.getLogger("dedup.topics")

_LIMITS: Final = ("max.message.bytes", "segment.bytes")
_BATCH_SIZE: Final = "batch.size"
# With a compression.type of the topic's own the brokers compress: batches that do not compress
# grow a little, so 1/100 is left free.
_ROOM: Final = 100
_SLOW_BYTES: Final = 50_000
_NEW_TOPIC_RETRY_SECONDS: Final = 0.1
_NOT_ALLOWED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


def fitted(access: KafkaAccess, input_topic: str | None, topics: Iterable[str]) -> KafkaAccess:
    """Return the access with a batch size that all topics take.

    input_topic: where the records come from; a record above its limit came compressed.
    topics: the topics that are written; they exist, empty names are skipped.  librdkafka
    counts the whole request, uncompressed, and sends a larger record alone: no batch of
    several records is larger than `batch.size`.  Where this user may not ask, the brokers'
    default is assumed and a line says so.  Raises KafkaUnreachableError.
    """
    admin = access.admin()
    input_bytes = None if input_topic is None else _limit(access, admin, input_topic)
    if any(_BATCH_SIZE in settings for settings in (access.common, access.producer)):
        return replace(access, input_bytes=input_bytes)
    limits = {topic: _limit(access, admin, topic) for topic in dict.fromkeys(topics) if topic}
    unknown = [topic for topic, limit in limits.items() if limit is None]
    if unknown:
        log.warning(
            "this user may not see how large a batch may be for %s (DescribeConfigs): if its "
            "max.message.bytes is below Kafka's default, set %s in DEDUP_PRODUCER below that",
            ", ".join(unknown),
            _BATCH_SIZE,
        )
    known = {topic: limit for topic, limit in limits.items() if limit is not None}
    batch_bytes = MAX_BATCH_BYTES
    if known:
        narrowest = min(known, key=lambda topic: known[topic])
        smallest = known[narrowest]
        batch_bytes = max(1, min(batch_bytes, smallest - smallest // _ROOM))
        if batch_bytes < _SLOW_BYTES:
            log.warning(
                "topic %s takes batches of at most %d bytes, so no topic gets larger ones: that "
                "is slow. Raise its max.message.bytes",
                narrowest,
                smallest,
            )
    return replace(access, input_bytes=input_bytes, batch_bytes=batch_bytes)


def _limit(access: KafkaAccess, admin: AdminClient, topic: str) -> int | None:
    """Return the largest batch that a topic takes, None if this user may not ask."""
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        try:
            config = retrying(access, lambda: topic_config(admin, topic))
        except KafkaUnreachableError as error:
            if error.code in _NOT_ALLOWED:
                return None
            # Other brokers may hear of a new topic a moment later.
            may_be_new = error.code == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not may_be_new or time.monotonic() > deadline:
                raise
            time.sleep(_NEW_TOPIC_RETRY_SECONDS)
        else:
            return min((int(config[name]) for name in _LIMITS if name in config), default=None)
