"""The consumer group's offsets: where reading goes on, at least once.

Kafka keeps them by the topic's name.  A comment on each offset says of which topic it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka.access import KafkaAccess
from connectors.kafka.offsets import committed_offsets
from connectors.kafka.requests import retrying
from connectors.kafka.starting_offsets import InputOffsets, Start, offsets_to_begin
from operators.batches import InputPartition

log = logging.getLogger("dedup.source")

_OF_TOPIC: Final = "dedup.topic.id="
_AGAIN_SECONDS: Final = 0.2
_FIRST_LOG_SECONDS: Final = 3.0
_LOG_SECONDS: Final = 30.0


def comment_of(partition: InputPartition) -> str:
    """Return what is committed with an offset: Kafka's id of the topic, empty without one."""
    return f"{_OF_TOPIC}{partition.topic_id}" if partition.topic_id else ""


def group_offsets(
    access: KafkaAccess, partitions: Collection[InputPartition], start: Start, *, begins: bool
) -> InputOffsets:
    """Return the group's offsets, for a job without a changelog; commit those that it lacks.

    A new application that began at `latest` and died at once must not begin at a later `latest`.
    If the group has offsets, other partitions are new and begin at their first record; so does a
    topic that was created again.  begins: whether this process decides where a new application
    begins at `latest`: one of a cluster does, and the others wait until it has.
    Raises KafkaUnreachableError.
    """
    consumer = Consumer(access.consumer_settings("starts", brief=True))
    try:
        committed = _committed(access, consumer, partitions)
        if start == "latest" and not begins and not committed:
            committed = _wait_for_beginning(access, consumer, partitions)
        starts = {
            partition: place.offset
            for partition, place in committed.items()
            if is_of(partition, place)
        }
        if committed:
            _tell_new(access, [one for one in partitions if one not in starts], committed)
        missing = [partition for partition in partitions if partition not in starts]
        begun = offsets_to_begin(access, missing, "earliest" if committed else start)
        if begun:
            offsets = [
                TopicPartition(one.topic, one.partition, offset, comment_of(one))
                for one, offset in begun.items()
            ]
            retrying(access, lambda: consumer.commit(offsets=offsets, asynchronous=False))
    finally:
        consumer.close()
    return InputOffsets(starts | begun, use_snapshots=True, new=missing if committed else ())


def _committed(
    access: KafkaAccess, consumer: Consumer, partitions: Collection[InputPartition]
) -> dict[InputPartition, TopicPartition]:
    """Ask for the group's offsets; partitions without one are missing."""
    places = dict.fromkeys(TopicPartition(topic, number) for topic, _, number in partitions)
    found = committed_offsets(access, consumer, list(places))
    return {
        partition: found[partition.topic, partition.partition]
        for partition in partitions
        if (partition.topic, partition.partition) in found
    }


def _wait_for_beginning(
    access: KafkaAccess, consumer: Consumer, partitions: Collection[InputPartition]
) -> dict[InputPartition, TopicPartition]:
    """Wait until the process that begins the application has committed where.

    Each process would find another end, and the group's offsets could lie behind what one of them
    has yet to read.  No process reads before it has met the others, so waiting costs nothing.
    """
    next_log = time.monotonic() + _FIRST_LOG_SECONDS
    while not (committed := _committed(access, consumer, partitions)):
        if time.monotonic() >= next_log:
            log.info("waiting for process 0 of the cluster: it finds where the application begins")
            next_log += _LOG_SECONDS
        time.sleep(_AGAIN_SECONDS)
    return committed


def is_of(partition: InputPartition, place: TopicPartition) -> bool:
    """Whether an offset is of this topic, not of a deleted one with the same name.

    One that an earlier version or Kafka's tools have committed does not say so, and counts.
    """
    try:
        comment = place.metadata or ""
    except UnicodeDecodeError:  # confluent_kafka reads on behind one that has no zero at its end
        return True
    is_known = bool(partition.topic_id) and comment.startswith(_OF_TOPIC)
    return not is_known or comment == comment_of(partition)


def _tell_new(
    access: KafkaAccess,
    new: Collection[InputPartition],
    committed: Mapping[InputPartition, TopicPartition],
) -> None:
    """Log which partitions begin at their first record, and why."""
    for topic in sorted({one.topic for one in new if one in committed}):
        log.warning(
            "topic %s was deleted and created again: it is read from its first record. Records of "
            "the old topic that were not read are gone",
            topic,
        )
    missing = [f"{one.topic}/{one.partition}" for one in new if one not in committed]
    if missing:
        log.warning(
            "group %s has no offsets for %s: reading begins at their first record",
            access.app_id,
            ", ".join(missing),
        )
