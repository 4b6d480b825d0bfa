"""Handing columns of records to a producer: in C, with back-pressure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_clients import explain
from operators.batches import Records
from operators.errors import SinkError

_FULL_POLL_SECONDS = 0.05
DeliveryReport = Callable[[KafkaError | None, Message], None]


def produce_records(
    producer: Producer,
    topic: str,
    records: Records,
    on_delivery: DeliveryReport | None = None,
) -> None:
    """Produce records with their key, value, headers and timestamp.

    Waits while the producer's queue is full.  on_delivery: called for each record.
    Raises SinkError if the client refuses one outright.
    """
    count = len(records)
    columns: list[Any] = [
        records.values,
        repeat(None) if records.keys is None else records.keys,
        repeat(-1),  # the partitioner chooses
        repeat(on_delivery),
        repeat(None),
        _stamps(records.timestamps),
    ]
    if records.headers is not None:
        columns.append([headers or [] for headers in records.headers])
    produce = producer.produce
    calls = map(produce, repeat(topic, count), *columns)
    done: list[None] = []
    while True:
        try:
            done.extend(calls)
        except BufferError:
            _produce_when_room(producer, topic, records, len(done), on_delivery)
            done.append(None)
        except KafkaException as error:
            offset = int(records.offsets[len(done)])
            raise refused(topic, explain(error), f"input offset {offset}") from error
        else:
            return


def _stamps(timestamps: Sequence[int] | None) -> Iterable[int]:
    """Timestamps to produce with; 0 lets the client take the time of day."""
    if timestamps is None:
        return repeat(0)
    if min(timestamps, default=0) >= 0:
        return timestamps
    return [max(stamp, 0) for stamp in timestamps]


def _produce_when_room(
    producer: Producer,
    topic: str,
    records: Records,
    row: int,
    on_delivery: DeliveryReport | None,
) -> None:
    while True:
        producer.poll(_FULL_POLL_SECONDS)
        try:
            producer.produce(
                topic,
                records.values[row],
                None if records.keys is None else records.keys[row],
                on_delivery=on_delivery,
                timestamp=0 if records.timestamps is None else max(records.timestamps[row], 0),
                headers=list((records.headers[row] if records.headers else None) or []),
            )
        except BufferError:
            continue
        return


def refused(topic: str, why: str, which: str = "") -> SinkError:
    """Make the error for a record that was not taken: it always stops the job."""
    record = f" ({which})" if which else ""
    return SinkError(
        f"topic {topic} refused a record{record}: {why}. Nothing is lost: mend the topic "
        "(max.message.bytes, permissions) and start again."
    )
