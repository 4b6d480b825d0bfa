"""Labelled records to a Kafka topic."""

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

# A full queue is looked at again after this.
_POLL_SECONDS = 0.05
_BROKER_DEFAULT = -1

Note = Callable[[Labelled, int], None]
"""Is told the offset of a record once the broker has it."""


class KafkaTarget:
    """Writes records to their partitions of one topic, each exactly once and in order.

    partitions: how many the topic has.
    """

    def __init__(self, access: KafkaAccess, topic: str, partitions: int) -> None:
        self.partitions = partitions
        self._topic = topic
        self._failed: str | None = None
        self._producer = Producer(access.producer_settings("generate"))

    def write(self, records: Iterable[Labelled], *, headers: bool, note: Note | None) -> None:
        """Hand records to the producer.

        headers: whether they carry their labels.  note: called for each record that
        was delivered, from here or from `finish`.  Raises SinkError for one that
        was refused, possibly an earlier one.
        """
        for record in records:
            labels = self._labels(record) if headers else None
            delivered = self._delivered if note is None else partial(self._noted, note, record)
            while True:
                try:
                    self._producer.produce(
                        self._topic,
                        record.value,
                        record.key,
                        record.partition,
                        delivered,
                        headers=labels,
                    )
                except BufferError:
                    self._producer.poll(_POLL_SECONDS)
                except KafkaException as error:
                    raise self._refused(error_text(error)) from error
                else:
                    break
        self._producer.poll(0)
        if self._failed is not None:
            raise self._refused(self._failed)

    def finish(self) -> None:
        """Wait until the broker has everything.  Raises SinkError if it does not take it."""
        while self._producer.flush(REQUEST_SECONDS):
            if self._failed is not None:
                break
        if self._failed is not None:
            raise self._refused(self._failed)

    def _labels(self, record: Labelled) -> list[tuple[str, str | bytes | None]]:
        labels: list[tuple[str, str | bytes | None]] = [(LABEL, record.label)]
        if record.of is not None:
            labels.append((LABEL_OF, b"%d" % record.of))
        return labels

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        del message
        if error is not None:
            self._failed = error_text(error)

    def _noted(
        self, note: Note, record: Labelled, error: KafkaError | None, message: Message
    ) -> None:
        self._delivered(error, message)
        offset = message.offset()
        if error is None and offset is not None:
            note(record, offset)

    def _refused(self, why: str) -> SinkError:
        return SinkError(f"cannot write to topic {self._topic}: {why}")


def open_target(settings: Settings, topic: str, partitions: int) -> KafkaTarget:
    """Open a topic for writing, and create it if it is missing.

    settings: with brokers.  partitions: of a topic that has to be created.
    Raises KafkaUnreachableError, or TopicError if it cannot be created.
    """
    access = kafka_access(settings)
    admin = access.admin()
    counts = partition_counts(admin, access)
    if topic not in counts:
        create_topic(admin, NewTopic(topic, partitions, _BROKER_DEFAULT))
        counts = {topic: partitions}
    return KafkaTarget(fitted(access, None, [topic]), topic, counts[topic])
