"""Handing records to a producer, and what is said of one that is not taken."""

from __future__ import annotations

from connectors.column_producer import ANY_PARTITION, ColumnProducer, NotTakenError
from connectors.kafka_clients import explain
from connectors.packed_records import PackedRecords
from operators.errors import SinkError


def produce_records(
    producer: ColumnProducer, topic: str, records: PackedRecords, partition: int = ANY_PARTITION
) -> None:
    """Produce records with their key, value, headers and timestamp.

    Waits while the producer's queue is full.  partition: of the topic; the partitioner
    chooses without one.  Raises SinkError, because of NotTakenError, if the client
    refuses one outright.
    """
    try:
        producer.produce(topic, records, partition)
    except NotTakenError as error:
        offset = int(records.offsets[error.row])
        raise refused(topic, explain(error.error), f"input offset {offset}") from error


def refused(topic: str, why: str, which: str = "") -> SinkError:
    """Make the error for a record that was not taken: it always stops the job."""
    record = f" ({which})" if which else ""
    return SinkError(
        f"topic {topic} refused a record{record}: {why}. Nothing is lost: mend the topic "
        "(max.message.bytes, permissions) and start again."
    )
