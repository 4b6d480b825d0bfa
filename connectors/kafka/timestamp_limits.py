"""Timestamps that a topic refuses: records keep theirs, so outputs must take what the input has.

Brokers compare a record's timestamp with their clock when it is written, and refuse one that is
too far before or after it.  Since Kafka 4 the limit after it is one hour unless set (KIP-937).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import KafkaUnreachableError, retrying
from connectors.kafka.topics import ANY_TIMESTAMP, TIMESTAMP_LIMITS, TopicError, topic_config

log = logging.getLogger("dedup")

_BEFORE, _AFTER, _BOTH = TIMESTAMP_LIMITS
_TYPE: Final = "message.timestamp.type"
_BROKERS_TIME: Final = "LogAppendTime"
# A missing topic is created, or found missing, elsewhere.
_NOT_KNOWN: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


def check_timestamp_limits(access: KafkaAccess, input_topic: str, outputs: Iterable[str]) -> None:
    """Check that outputs refuse no timestamp that the input takes.

    One such record would end the job, and every start after that.  outputs: topics that get the
    input's records; empty names are skipped.  Topics whose settings this user may not see are not
    checked.  Raises TopicError, which names setting and topic, and KafkaUnreachableError.
    """
    admin = access.admin()
    of_input = _config(access, admin, input_topic)
    if of_input is None:
        return
    has_own_times = of_input.get(_TYPE) != _BROKERS_TIME
    for topic in filter(None, outputs):
        config = _config(access, admin, topic)
        if config is None or config.get(_TYPE) == _BROKERS_TIME:
            continue
        for name in (_BEFORE, _AFTER):
            (setting, limit), wanted = _limit(config, name), _limit(of_input, name)[1]
            if has_own_times and limit < wanted:
                msg = (
                    f"topic {topic} has {setting}={limit}, and the input {input_topic} takes "
                    f"{wanted}: the output would refuse records that the input has. Set it to "
                    f"at least {wanted}"
                )
                raise TopicError(msg)
            if name == _BEFORE and limit < ANY_TIMESTAMP:
                log.warning(
                    "topic %s has %s=%d: it refuses records that are older when they are written, "
                    "as after a long outage, and the job would end. Take the limit away",
                    *(topic, setting, limit),
                )


def _config(access: KafkaAccess, admin: AdminClient, topic: str) -> dict[str, str] | None:
    try:
        return retrying(access, lambda: topic_config(admin, topic))
    except KafkaUnreachableError as error:
        if error.code in _NOT_KNOWN:
            return None
        raise


def _limit(config: Mapping[str, str], name: str) -> tuple[str, int]:
    """Return the setting that counts for a limit, and its value in milliseconds."""
    value = int(config.get(name, ANY_TIMESTAMP))
    if value == ANY_TIMESTAMP and _BOTH in config:
        return _BOTH, int(config[_BOTH])
    return name, value
