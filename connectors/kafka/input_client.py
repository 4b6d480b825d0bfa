"""The client that reads a worker's input partitions: watched, and replaced if need be."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.client_silence import ClientSilence, Remedy
from connectors.kafka.input_watch import InputWatch
from connectors.kafka.read_errors import OversizedResponse
from connectors.librdkafka.column_consumer import ColumnConsumer, Fetched, Place
from connectors.librdkafka.request_counts import Request
from operators.errors import SourceError

log = logging.getLogger("dedup.source")

OFFSET_GONE: Final = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Records that may be of a topic that was created again, until the watch has looked.

    check: the number of that check.  metadata: number of answers about topics that the client had
    when the records were taken from it.
    """

    check: int
    metadata: int
    fetched: Fetched


class InputClient:
    """Reads partitions, and never takes a record for one of another topic of the same name."""

    def __init__(self, access: KafkaAccess, topics: Sequence[str], watch: InputWatch) -> None:
        """topics: of the input.  watch: of these topics."""
        self._access = access
        self._topics = topics
        self._watch = watch
        self._silence = ClientSilence(watch.clock)
        self._doubt: _Doubt | None = None
        self._is_reading = False
        self._taken = 0  # readings that returned records
        self._open()

    def _open(self) -> None:
        settings = self._access.consumer_settings()
        self._oversized = OversizedResponse(settings["error_cb"])
        settings["error_cb"] = self._oversized.on_error
        self._consumer = ColumnConsumer(settings)
        # Its first answers about topics are not checked yet.
        self._metadata = -1

    def add(self, offsets: Mapping[Place, int]) -> None:
        """Read more partitions, each from an offset.  Raises KafkaException."""
        self._is_reading = self._is_reading or bool(offsets)
        self._consumer.add(offsets)

    @property
    def is_in_doubt(self) -> bool:
        """Whether it is not known yet whose records were read last."""
        return self._doubt is not None and self._watch.checked < self._doubt.check

    def read(self, max_records: int, size_bytes: int) -> Fetched | None:
        """Take what has arrived; None while it is in doubt whose records it is.

        The client goes over to a topic of the same name when it gets an answer about topics.  So
        records are certain if no such answer has come since the watch has looked.  If a topic was
        created again, the caller has replaced the client when the doubt is over.
        """
        if self._doubt is not None:
            fetched, self._metadata = self._doubt.fetched, self._doubt.metadata
            self._doubt = None
            return fetched
        try:
            fetched = self._consumer.read(max_records, size_bytes)
        except KafkaException as error:
            msg = f"cannot read the input: {error_text(error)}"
            raise SourceError(msg) from error
        self._oversized.check(self._topics)
        self._taken += bool(len(fetched.records))
        metadata = self._consumer.responses[Request.METADATA]
        is_lost = any(event.error.code() in OFFSET_GONE for event in fetched.events)
        if is_lost or (metadata != self._metadata and (len(fetched.records) or fetched.events)):
            self._doubt = _Doubt(self._watch.request(), metadata, fetched)
            return None
        return fetched

    def look_after(self, offsets: Mapping[Place, int]) -> None:
        """Help the client if it gets no answers although brokers give some.

        offsets: where a new client begins.  Raises SourceError if nothing helps.
        """
        if not self._is_reading:
            return
        # While records wait in its queue, a client asks for no more: they are signs of life, too.
        signs = self._consumer.responses.total + self._taken
        remedy = self._silence.look(signs, self._watch.answered_at)
        if remedy is Remedy.NAME_BROKERS:
            self._consumer.add_brokers(self._access.brokers)
        elif remedy is Remedy.REPLACE:
            self.replace(offsets)

    def replace(self, offsets: Mapping[Place, int]) -> None:
        """Go on with a new client; the old one may wait forever when it is closed.

        What is in doubt is read again.  offsets: where the new one begins.
        """
        Thread(target=self._consumer.close, name="old-client", daemon=True).start()
        self._doubt = None
        self._open()
        self._is_reading = bool(offsets)
        if offsets:
            self._consumer.add(offsets)

    def known_end(self, place: Place) -> int:
        """Offset after the last record, from the last fetch response; below 0 before the first."""
        return self._consumer.known_end(place)

    def commit(
        self, offsets: Mapping[Place, int], comments: Mapping[Place, str], *, wait: bool
    ) -> None:
        """Commit offsets to the group, with comments; a failure only lets them trail."""
        try:
            self._consumer.commit(offsets, comments, wait=wait)
        except KafkaException as error:
            # The next commit includes these.
            log.warning("cannot commit offsets: %s", error_text(error))

    def close(self) -> None:
        """Destroy the client; may wait forever for a commit under way."""
        self._consumer.close()
