"""Handing columns of records to a producer: in C, with back-pressure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat, starmap
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_clients import explain
from operators.batches import Ints, Records
from operators.errors import SinkError

_FULL_POLL_SECONDS = 0.01
ANY_PARTITION = -1
DeliveryReport = Callable[[KafkaError | None, Message], None]


def produce_records(
    producer: Producer,
    topic: str,
    records: Records,
    on_delivery: DeliveryReport | None = None,
    partition: int = ANY_PARTITION,
) -> None:
    """Produce records with their key, value, headers and timestamp.

    Waits while the producer's queue is full.  on_delivery: called for each record.
    partition: of the topic; the partitioner chooses without one.
    Raises SinkError if the client refuses one outright.
    """
    count = len(records)
    columns: list[Any] = [
        records.values,
        repeat(None) if records.keys is None else records.keys,
        repeat(partition),
        repeat(on_delivery),
        repeat(None),
        _stamps(records.timestamps),
    ]
    if records.headers is not None:
        columns.append([headers or [] for headers in records.headers])
    produce = producer.produce
    # An argument tuple each, as a C function of keywords wants it: `map` would copy it.
    calls = starmap(produce, zip(repeat(topic, count), *columns, strict=False))
    done: list[None] = []
    while True:
        try:
            done.extend(calls)
        except BufferError:
            again = partial(producer.produce, topic, partition=partition, on_delivery=on_delivery)
            _produce_when_room(producer, again, records, len(done))
            done.append(None)
        except KafkaException as error:
            offset = int(records.offsets[len(done)])
            raise refused(topic, explain(error), f"input offset {offset}") from error
        else:
            return


def _stamps(timestamps: Ints | None) -> Iterable[int]:
    """Timestamps to produce with; 0 lets the client take the time of day."""
    return repeat(0) if timestamps is None else np.maximum(timestamps, 0).tolist()


def _produce_when_room(
    producer: Producer, produce: Callable[..., None], records: Records, row: int
) -> None:
    while True:
        producer.poll(_FULL_POLL_SECONDS)
        try:
            produce(
                value=records.values[row],
                key=None if records.keys is None else records.keys[row],
                timestamp=0 if records.timestamps is None else max(int(records.timestamps[row]), 0),
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
