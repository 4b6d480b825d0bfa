"""Where reading begins without a snapshot: at the group's offsets, or the changelog's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.read_errors import TOPIC_UNREADABLE
from connectors.kafka.requests import REQUEST_SECONDS, retrying
from operators.errors import SourceError

log = logging.getLogger("dedup.source")


def starting_offsets(
    access: KafkaAccess,
    topic: str,
    start: Literal["earliest", "latest"],
    lane_positions: Sequence[Mapping[int, int]],
) -> dict[int, int]:
    """Return the starting offset of each partition; commit those that the group did not have.

    A new application that began at `latest` and died at once must not begin at a later
    `latest` (rule 5 of connectors/exactly_once).  Neither must an application whose group the
    brokers forgot: it begins where its lanes' changelogs end.  If they do not know a partition,
    it begins at its first record.

    start: where a new application begins.  lane_positions: for each lane the next offset of
    each partition, from its changelog.  Raises SourceError, KafkaUnreachableError.
    """
    consumer = Consumer(access.consumer_settings("starts", brief=True))
    try:
        numbers = retrying(access, lambda: _partitions(consumer, topic))
        partitions = [TopicPartition(topic, number) for number in numbers]
        committed = retrying(
            access, lambda: consumer.committed(partitions, timeout=REQUEST_SECONDS)
        )
        starts = {
            position.partition: position.offset for position in committed if position.offset >= 0
        }
        is_new = not starts and not any(lane_positions)
        at_latest = start == "latest" and is_new
        missing = [position for position in partitions if position.partition not in starts]
        for position in missing:
            first, end = _first_and_end(consumer, access, position)
            answered = _answered_by_all(lane_positions, position.partition)
            starts[position.partition] = position.offset = (
                end if at_latest else first if answered is None else answered
            )
        if missing and not is_new:
            log.warning(
                "group %s has no offsets for %s, partitions %s: reading begins where the "
                "changelog says, and at the first record of partitions that it does not know",
                access.app_id,
                topic,
                ", ".join(str(position.partition) for position in missing),
            )
        if missing:
            retrying(access, lambda: consumer.commit(offsets=missing, asynchronous=False))
    finally:
        consumer.close()
    return dict(sorted(starts.items()))


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    """Return the numbers of a topic's partitions, at least one.

    Without partitions the source would end at once, as if the input had been read.
    """
    listed = consumer.list_topics(topic, REQUEST_SECONDS).topics[topic]
    error = listed.error
    if error is not None and error.code() in TOPIC_UNREADABLE:
        msg = f"cannot read topic {topic}: {error_text(error)}. Was it deleted just now?"
        raise SourceError(msg)
    if error is not None or not listed.partitions:
        raise KafkaException(error or KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    return sorted(listed.partitions)


def _answered_by_all(lane_positions: Sequence[Mapping[int, int]], partition: int) -> int | None:
    """Return the next offset that not all lanes have answered; None if a lane does not know it."""
    offsets = [positions.get(partition) for positions in lane_positions]
    known = [offset for offset in offsets if offset is not None]
    return min(known) if known and len(known) == len(offsets) else None


def _first_and_end(
    consumer: Consumer, access: KafkaAccess, partition: TopicPartition
) -> tuple[int, int]:
    """Return a partition's first offset, and the offset after its last record."""

    def ask() -> tuple[int, int]:
        first, end = consumer.get_watermark_offsets(partition, timeout=REQUEST_SECONDS)
        return first, end

    return retrying(access, ask)
