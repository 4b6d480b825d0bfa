"""Where partitions begin and end, asked of their leaders."""

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
    places: Iterable[TopicPartition],
    which: OffsetSpec,
    isolation: IsolationLevel,
    seconds: float,
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, KafkaError]]:
    """Return offsets, and for the other partitions why there is none.

    All are asked at once; it takes at most so many seconds.
    """
    found: dict[TopicPartition, int] = {}
    errors: dict[TopicPartition, KafkaError] = {}
    futures: Mapping[TopicPartition, Future[Any]] = admin.list_offsets(
        dict.fromkeys(places, which), isolation_level=isolation, request_timeout=seconds
    )
    for place, future in futures.items():
        try:
            offset = future.result().offset
        except KafkaException as error:
            errors[place] = error.args[0]
            continue
        if offset == OFFSET_INVALID:
            # What librdkafka says of a leader that does not answer in time, without an error.
            errors[place] = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - its public name
        else:
            found[place] = offset
    return found, errors
