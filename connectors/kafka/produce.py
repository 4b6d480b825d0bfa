"""Handing records to a producer, and the error for a record that was rejected."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from connectors.kafka.client_errors import error_text
from connectors.librdkafka.column_producer import ANY_PARTITION, ColumnProducer, NotTakenError
from connectors.librdkafka.packed_records import PackedRecords
from operators.errors import SinkError

_SIZES: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_COMPRESS: Final = 'set DEDUP_PRODUCER={"compression.type": "zstd"}'


def produce_records(
    producer: ColumnProducer, topic: str, records: PackedRecords, partition: int = ANY_PARTITION
) -> None:
    """Produce records with their key, value, headers and timestamp.

    Waits while the producer's queue is full.  partition: of the topic; by default the
    partitioner chooses it.  Raises SinkError if the client itself rejects a record.
    """
    try:
        producer.produce(topic, records, partition)
    except NotTakenError as error:
        offset = int(records.offsets[error.row])
        raise rejected(topic, error.error, f"input offset {offset}") from error


def rejected(
    topic: str, error: KafkaError, which: str = "", size: int = 0, input_bytes: int | None = None
) -> SinkError:
    """Make the error for a rejected record: it always stops the job.

    which: names the record.  size: bytes of its key and value, 0 if unknown.
    input_bytes: largest batch that the input topic takes, None if unknown.
    """
    record = f" ({which})" if which else ""
    advice = "check the topic's settings and permissions"
    if error.code() in _SIZES:
        advice = "raise its max.message.bytes"
        if input_bytes is not None and size > input_bytes:
            advice = (
                f"the record has {size} bytes uncompressed, but the input topic takes only "
                f"{input_bytes}, so it came compressed: {_COMPRESS}, or {advice}"
            )
        else:
            advice += f", or, if the input is compressed, {_COMPRESS}"
    elif error.code() == KafkaError.INVALID_TIMESTAMP:
        advice = (
            "its timestamp is too far from the broker's clock: raise the topic's "
            "message.timestamp.before.max.ms and message.timestamp.after.max.ms"
        )
    return SinkError(
        f"topic {topic} refused a record{record}: {error_text(error)}. Nothing is lost: {advice}, "
        "and start again."
    )
