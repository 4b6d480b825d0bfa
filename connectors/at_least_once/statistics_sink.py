"""Windowed statistics as JSON records of a topic."""

from __future__ import annotations

import logging

import msgspec
import numpy as np
from bytewax.outputs import StatefulSinkPartition

from connectors.at_least_once.producer import AcknowledgedProducer
from connectors.kafka.access import KafkaAccess
from connectors.shutdown import exit_on_user_error
from connectors.single_partition_sink import SinglePartitionSink
from operators.batches import Records
from operators.statistics.summarize import Statistic

log = logging.getLogger("dedup.statistics")


class _TopicPartition(StatefulSinkPartition[Statistic, None]):
    """All statistics, through one producer."""

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        self._topic = topic
        self._producer = AcknowledgedProducer(access, "statistics", log)

    @exit_on_user_error
    def write_batch(self, values: list[Statistic]) -> None:
        """Produce some; raise SinkError if an earlier one was refused."""
        records = Records(
            offsets=np.zeros(len(values), np.int64),
            values=[msgspec.json.encode(value) for value in values],
            # One event type, one partition: its windows come in order.
            keys=[value.event_type.encode() for value in values],
        )
        self._producer.produce(self._topic, records)
        self._producer.check()

    @exit_on_user_error
    def snapshot(self) -> None:
        """At the end of an epoch everything must be with the brokers."""
        self._producer.flush()

    @exit_on_user_error
    def close(self) -> None:
        """Deliver what is left."""
        self._producer.flush()


class StatsSink(SinglePartitionSink[Statistic, None]):
    """Writes statistics to a topic, at least once: after a crash some may come again.

    The record key is the event type.
    """

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        """topic: exists."""
        self._access = access
        self._topic = topic

    def open(self, resume_state: None) -> _TopicPartition:
        """Open the producer."""
        del resume_state
        return _TopicPartition(self._access, self._topic)
