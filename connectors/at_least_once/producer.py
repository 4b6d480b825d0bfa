"""A producer for at least once: every record is delivered, or an error stops the job."""

from __future__ import annotations

import logging
import time

from confluent_kafka import KafkaError, KafkaException

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.client_silence import Remedy, WriterSilence
from connectors.kafka.log_filter import RepeatFilter
from connectors.kafka.produce import produce_records, rejected
from connectors.kafka.requests import unreachable_error
from connectors.librdkafka.column_producer import ColumnProducer
from connectors.librdkafka.packed_records import PackedRecords
from operators.batches import Records
from operators.errors import SinkError

# librdkafka gives up on a record after message.timeout.ms, 5 minutes unless set.  A flush waits
# a little longer, so that the record's own error is reported.
_FLUSH_SECONDS = 330.0
_CHECK_SECONDS = 5.0

_repeats = RepeatFilter(time.monotonic)


class AcknowledgedProducer:
    """An idempotent producer that knows how many records the brokers have acknowledged."""

    def __init__(self, access: KafkaAccess, role: str, log: logging.Logger) -> None:
        """role: names the client at the brokers.  Raises KafkaUnreachableError.

        While it waits for brokers it calls the access's `waiting`.
        """
        self._access = access
        self._log = log
        log.addFilter(_repeats)
        self._failure: str | None = None
        self.produced = 0  # records in total
        self._delivered = 0
        self._silence = WriterSilence(time.monotonic)
        try:
            self._producer = ColumnProducer(
                {**access.producer_settings(role), "error_cb": self._on_error}, access.waiting
            )
        except KafkaException as error:
            raise unreachable_error(access, error) from error

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() and self._failure is None:
            self._failure = (
                f"the client that writes has failed: {error_text(error)}. Nothing is lost: see the "
                "brokers' logs, then start again."
            )
        else:
            self._log.warning("writing: %s", error_text(error))

    def produce(self, topic: str, records: Records) -> None:
        """Produce records; waits while the queue is full.  Raises SinkError."""
        produce_records(self._producer, topic, PackedRecords(records))
        self.produced += len(records)

    def check(self) -> int:
        """Return how many records are delivered, at least; raise SinkError if one was refused."""
        self._producer.poll()
        if self._failure is not None:
            raise SinkError(self._failure)
        for topic, error, size in self._producer.failures:
            raise rejected(topic, error, size=size, input_bytes=self._access.input_bytes)
        responses, waiting = self._producer.responses.total, len(self._producer)
        if self._silence.look(responses, waiting) is Remedy.NAME_BROKERS:
            self._log.warning("no broker has answered for long: naming the brokers again")
            self._producer.add_brokers(self._access.brokers)
        # An error that waits for `poll` counts as not delivered: the number must not go back.
        self._delivered = max(self._delivered, self.produced - len(self._producer))
        return self._delivered

    def flush(self) -> None:
        """Wait until every record is acknowledged.  Raises SinkError."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        while (left := self._producer.flush(_CHECK_SECONDS)) and time.monotonic() < deadline:
            self.check()
            self._access.waiting()
        self.check()
        if left:
            msg = (
                f"{left} records could not be delivered to {self._access.brokers} within "
                f"{_FLUSH_SECONDS:.0f} s. Nothing is lost: start again when the brokers are back."
            )
            raise SinkError(msg)
        self._delivered = self.produced
