"""The changelog's topic: created for a new application, checked for every other."""

from __future__ import annotations

import logging
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.offsets import committed_offsets
from connectors.kafka.replication import replicas_of, replication_like
from connectors.kafka.requests import REQUEST_SECONDS, list_topics
from connectors.kafka.topics import create_topic, partition_counts, topic_config
from operators.errors import StateError

log = logging.getLogger("dedup.changelog")

_CONFIG = {
    "cleanup.policy": "delete",
    # Rule 6: time alone must not delete the state of a paused stream.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # Brokers free whole segments: small ones give space back sooner.
    "segment.bytes": str(64 * 1024 * 1024),
    # Our largest records have 655 kB (changelog_format.KEYS_PER_RECORD).
    "max.message.bytes": str(1024 * 1024),
}
_REQUIRED = ("cleanup.policy", "retention.ms", "retention.bytes")
_VISIBLE_POLL_SECONDS = 0.1


def ensure_changelog(
    access: KafkaAccess, admin: AdminClient, topic: str, lanes: int, input_topic: str
) -> None:
    """Create the changelog's topic, or check that it is as it must be.

    It gets as many replicas as the input has, at least.  One that has fewer is warned of.
    input_topic: an application that has read from it must have a changelog already.
    Raises StateError.
    """
    counts = partition_counts(admin, access)
    if topic not in counts:
        _check_new_application(access, topic, input_topic, counts.get(input_topic, 0))
        replicas = replication_like(access, admin, input_topic)
        create_topic(admin, NewTopic(topic, lanes, replicas, config=dict(_CONFIG)))
        _wait_until_visible(access, admin, topic)
        _warn_of_few_replicas(access, admin, topic, input_topic)
        return
    partitions = counts[topic]
    if partitions != lanes:
        msg = (
            f"DEDUP_LANES={lanes}, but {topic} has {partitions} partitions, one for "
            "each lane that the application began with: set it back, or choose another "
            "DEDUP_APP_ID"
        )
        raise StateError(msg)
    _check_config(admin, topic)
    _warn_of_few_replicas(access, admin, topic, input_topic)


def _wait_until_visible(access: KafkaAccess, admin: AdminClient, topic: str) -> None:
    """Wait until the brokers list a new topic: other brokers hear of it a moment later."""
    deadline = time.monotonic() + REQUEST_SECONDS
    while topic not in partition_counts(admin, access):
        if time.monotonic() > deadline:
            msg = f"topic {topic} was created but cannot be seen yet: start again"
            raise StateError(msg)
        time.sleep(_VISIBLE_POLL_SECONDS)


def _check_new_application(
    access: KafkaAccess, topic: str, input_topic: str, partitions: int
) -> None:
    """Rule 5: an application without a changelog must be new, so its group has no offsets."""
    consumer = Consumer(access.consumer_settings("changelog", brief=True))
    asked = [TopicPartition(input_topic, partition) for partition in range(partitions)]
    try:
        committed = committed_offsets(access, consumer, asked)
    finally:
        consumer.close()
    if committed:
        msg = (
            f"DEDUP_APP_ID={access.app_id} has read {input_topic} before, but its changelog "
            f"{topic} is gone (or it ran with DEDUP_GUARANTEE=at_least_once): what it knew and "
            "answered is unknown. Choose another DEDUP_APP_ID to start over"
        )
        raise StateError(msg)


def _check_config(admin: AdminClient, topic: str) -> None:
    try:
        config = topic_config(admin, topic)
    except KafkaException as error:
        log.warning("cannot check the settings of %s: %s", topic, error_text(error))
        return
    for name in _REQUIRED:
        if config[name] != _CONFIG[name]:
            msg = (
                f"topic {topic} has {name}={config[name]}, which would delete what the job knows: "
                f"set it to {_CONFIG[name]}"
            )
            raise StateError(msg)


def _warn_of_few_replicas(
    access: KafkaAccess, admin: AdminClient, topic: str, input_topic: str
) -> None:
    """Warn if the state is lost with fewer brokers than the input, or with one of several."""
    cluster = list_topics(access, admin)
    replicas, of_input = replicas_of(cluster, topic), replicas_of(cluster, input_topic)
    if replicas is None:
        return
    if replicas == 1 < len(cluster.brokers):
        log.warning(
            "topic %s has replication 1 on a cluster of %d brokers: if one of them is lost, the "
            "job's state is lost. Give the topic more replicas (kafka-reassign-partitions.sh), "
            "and set default.replication.factor for new ones.",
            *(topic, len(cluster.brokers)),
        )
    elif of_input is not None and replicas < of_input:
        log.warning(
            "topic %s has replication %d, and the input %s has %d: the job's state is lost before "
            "the input is. Give the topic as many replicas (kafka-reassign-partitions.sh).",
            *(topic, replicas, input_topic, of_input),
        )
