"""First and last offsets of partitions, from their leaders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec


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
            offset = future.result().offset
        except KafkaException as error:
            errors[partition] = error.args[0]
            continue
        if offset == OFFSET_INVALID:
            # librdkafka returns this, without an error, if the leader does not answer in time.
            errors[partition] = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - its public name
        else:
            offsets[partition] = offset
    return offsets, errors


def has_moved(error: KafkaError) -> bool:
    """Whether another broker leads a partition, or none: not a time-out.

    A client that asks only for offsets keeps its old metadata for 15 minutes: list topics then.
    """
    return error.code() > 0 or error.code() == KafkaError._NOENT  # noqa: SLF001 - no leader
