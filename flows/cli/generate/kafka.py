"""Writes labelled records to a Kafka topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import NewTopic

from connectors.kafka.access import KafkaAccess
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.client_errors import error_text
from connectors.kafka.requests import REQUEST_SECONDS
from connectors.kafka.topics import create_topic, partition_counts
from flows.assembly.specs import kafka_access
from flows.cli.generate.options import LABEL, LABEL_OF, Labelled
from flows.settings.model import Settings
from operators.errors import SinkError

# Time between two attempts to add to a full queue.
_POLL_SECONDS = 0.05
_BROKER_DEFAULT = -1

OnDelivery = Callable[[Labelled, int], None]
"""Called with a record and its offset when the broker has it."""


class KafkaTarget:
    """Writes records to their partitions of one topic, each exactly once and in order.

    partitions: the topic's partition count.
    """

    def __init__(self, access: KafkaAccess, topic: str, partitions: int) -> None:
        self.partitions = partitions
        self._topic = topic
        self._failed: str | None = None
        self._producer = Producer(access.producer_settings("generate"))

    def write(
        self, records: Iterable[Labelled], *, headers: bool, on_delivery: OnDelivery | None
    ) -> None:
        """Produce records.

        headers: whether they carry their labels.  on_delivery: called for each
        delivered record, from here or from `finish`.  Raises SinkError for a record that
        was rejected, possibly an earlier one.
        """
        for record in records:
            labels = self._labels(record) if headers else None
            callback = (
                self._delivered
                if on_delivery is None
                else partial(self._delivered_record, on_delivery, record)
            )
            while True:
                try:
                    self._producer.produce(
                        self._topic,
                        record.value,
                        record.key,
                        record.partition,
                        callback,
                        headers=labels,
                    )
                except BufferError:
                    self._producer.poll(_POLL_SECONDS)
                except KafkaException as error:
                    raise self._rejected(error_text(error)) from error
                else:
                    break
        self._producer.poll(0)
        if self._failed is not None:
            raise self._rejected(self._failed)

    def finish(self) -> None:
        """Wait until the broker has all records.  Raises SinkError if it rejects one."""
        while self._producer.flush(REQUEST_SECONDS):
            if self._failed is not None:
                break
        if self._failed is not None:
            raise self._rejected(self._failed)

    def _labels(self, record: Labelled) -> list[tuple[str, str | bytes | None]]:
        labels: list[tuple[str, str | bytes | None]] = [(LABEL, record.label)]
        if record.repeats is not None:
            labels.append((LABEL_OF, b"%d" % record.repeats))
        return labels

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None:
            self._failed = error_text(error)

    def _delivered_record(
        self,
        on_delivery: OnDelivery,
        record: Labelled,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        self._delivered(error, message)
        offset = message.offset()
        if error is None and offset is not None:
            on_delivery(record, offset)

    def _rejected(self, why: str) -> SinkError:
        return SinkError(f"cannot write to topic {self._topic}: {why}")


def open_target(settings: Settings, topic: str, partitions: int) -> KafkaTarget:
    """Open a topic for writing, and create it if it is missing.

    settings: must name brokers.  partitions: partition count of a topic to create.
    Raises KafkaUnreachableError, or TopicError if the topic cannot be created.
    """
    access = kafka_access(settings)
    admin = access.admin()
    counts = partition_counts(admin, access)
    if topic not in counts:
        create_topic(admin, NewTopic(topic, partitions, _BROKER_DEFAULT))
        counts = {topic: partitions}
    return KafkaTarget(fitted(access, None, [topic]), topic, counts[topic])
