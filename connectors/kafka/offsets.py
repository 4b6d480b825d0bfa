"""Offsets of partitions: first and last from their leaders, committed ones from the group's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import REQUEST_SECONDS, answer_to, retrying


@dataclass(frozen=True, slots=True)
class PartitionEnd:
    """Where a partition ended a moment ago.

    committed: offset after the last record that a `read_committed` reader can get.  end: offset
    after the last record.  asked_at: before the question, by the clock of the watch.
    """

    committed: int
    end: int
    asked_at: float


def ask_offsets(
    admin: AdminClient,
    partitions: Iterable[TopicPartition],
    which: OffsetSpec,
    isolation: IsolationLevel,
    seconds: float,
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, KafkaError]]:
    """Return the offset of each partition, and an error for each partition without one.

    All are asked at the same time, and have `seconds` to answer.
    """
    offsets: dict[TopicPartition, int] = {}
    errors: dict[TopicPartition, KafkaError] = {}
    futures: Mapping[TopicPartition, Future[Any]] = admin.list_offsets(
        dict.fromkeys(partitions, which), isolation_level=isolation, request_timeout=seconds
    )
    for partition, future in futures.items():
        try:
            offset = answer_to(future, seconds).offset
        except KafkaException as error:
            errors[partition] = error.args[0]
            continue
        if offset == OFFSET_INVALID:
            # librdkafka returns this, without an error, if the leader does not answer in time.
            errors[partition] = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - its public name
        else:
            offsets[partition] = offset
    return offsets, errors


def ask_all_offsets(  # noqa: PLR0913 - what a question is made of
    access: KafkaAccess,
    admin: AdminClient,
    partitions: Iterable[TopicPartition],
    which: OffsetSpec,
    isolation: IsolationLevel,
    *,
    seconds: float,
) -> dict[TopicPartition, int]:
    """Return the offset of each partition; ask again while leaders move.

    seconds: for each answer.  A leader that is dead gives none, and a new one is asked only when
    this time is over.
    Raises KafkaUnreachableError if some have none after `2 * REQUEST_SECONDS`.
    """
    asked = list(partitions)

    def ask() -> dict[TopicPartition, int]:
        offsets, errors = ask_offsets(admin, asked, which, isolation, seconds)
        if errors:
            # A client that asks only for offsets would keep its old leaders for 15 minutes.
            with suppress(KafkaException):
                admin.list_topics(next(iter(errors)).topic, timeout=seconds)
            raise KafkaException(next(iter(errors.values())))
        return offsets

    return retrying(access, ask)


def committed_offsets(
    access: KafkaAccess, consumer: Consumer, places: Sequence[TopicPartition]
) -> dict[tuple[str, int], TopicPartition]:
    """Return the group's offsets by topic and partition; those without one are missing.

    Raises KafkaUnreachableError, also if there is an error for one partition only.
    """

    def ask() -> list[TopicPartition]:
        committed = consumer.committed(list(places), timeout=REQUEST_SECONDS)
        for place in committed:
            if place.error is not None:
                raise KafkaException(place.error)
        return [place for place in committed if place.offset >= 0]

    # The first request of a client must be one that waits for a broker.
    retrying(access, lambda: consumer.list_topics(timeout=REQUEST_SECONDS))
    return {(place.topic, place.partition): place for place in retrying(access, ask)}
