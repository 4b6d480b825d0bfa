"""How we connect to Kafka: all client settings in one place, with the reason for each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connectors.kafka.client_errors import LastClientError, error_text
from connectors.kafka.log_filter import RaisedErrorFilter, RepeatFilter
from operators.errors import SettingsError

log = logging.getLogger("dedup.kafka")
log.addFilter(RaisedErrorFilter())
log.addFilter(RepeatFilter(time.monotonic))

_MAX_MESSAGE_BYTES = 1_000_000_000
# confluent_kafka adds this one way to sign in; we read and write with librdkafka itself,
# which does not have it (docs/adr/0005, 0006).
_METADATA, _AWS = "sasl.oauthbearer.metadata.authentication.type", "aws_iam"

# By default librdkafka connects only to brokers that it needs.  Such a client forgets its
# bootstrap broker when it hears of the others, and may connect to none of them for up to a
# second (docs/adr/0002).  This is for clients that talk to all brokers anyway, or not for long:
# a source needs one broker, and would keep a connection to each of them.
_CONNECT_TO_ALL_BROKERS = {"enable.sparse.connections": False}

# A broker with auto.create.topics.enable creates every topic that an admin client or a producer
# asks about by name, unless the client forbids it.  A misspelt or deleted topic would come back
# empty.
_NO_NEW_TOPICS = {"allow.auto.create.topics": False}

# The lanes of a worker get their records one after the other.  Within this time most of them
# go into one request, which is less work for the brokers.
_LINGER_MS = 10
# Below Kafka's default of max.message.bytes, which is 1,048,588.
MAX_BATCH_BYTES = 1_000_000

Scalar = str | int | float | bool


def _nothing() -> None:
    """Nobody wants to know that we wait."""


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Where Kafka is and how to get in.

    brokers: `host:port,…`.  common, consumer, producer: the user's librdkafka settings for
    all clients, for consumers, for producers.  last_error: the latest error that a client met
    outside of any call.  batch_bytes: largest batch of several records.  input_bytes: largest
    batch that the input topic takes (`batch_sizes.fitted` finds both).  waiting: called again and
    again while what writes, or reads the changelog, waits for brokers.
    """

    brokers: str
    app_id: str
    common: Mapping[str, Scalar] = field(default_factory=dict)
    consumer: Mapping[str, Scalar] = field(default_factory=dict)
    producer: Mapping[str, Scalar] = field(default_factory=dict)
    last_error: LastClientError = field(default_factory=LastClientError, compare=False)
    batch_bytes: int = MAX_BATCH_BYTES
    input_bytes: int | None = None
    waiting: Callable[[], object] = field(default=_nothing, compare=False)

    def _base(self, role: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.brokers,
            "client.id": f"{self.app_id}-{role}",
            "logger": log,
            "error_cb": self.last_error.add,
            **self.common,
        }

    def check(self) -> None:
        """Make one client of each kind: only librdkafka knows which settings exist.

        Raises SettingsError, which names the wrong setting.
        """
        user_settings = {
            "DEDUP_KAFKA": self.common,
            "DEDUP_CONSUMER": self.consumer,
            "DEDUP_PRODUCER": self.producer,
        }
        for setting, values in user_settings.items():
            if values.get(_METADATA) == _AWS:
                msg = (
                    f"{setting}: {_METADATA}={_AWS} cannot be used: librdkafka itself cannot do "
                    "it. Use TLS certificates or SASL/SCRAM."
                )
                raise SettingsError(msg)
        kinds: tuple[tuple[str, Callable[[], object]], ...] = (
            ("DEDUP_KAFKA", self.admin),
            ("DEDUP_CONSUMER", lambda: Consumer(self.consumer_settings("check"))),
            ("DEDUP_PRODUCER", lambda: Producer(self.producer_settings("check"))),
        )
        for setting, make in kinds:
            try:
                make()
            except KafkaException as error:
                msg = (
                    f"{setting}: librdkafka does not take it: {error_text(error)}. See its "
                    "CONFIGURATION.md for names and values."
                )
                raise SettingsError(msg) from error

    def admin(self, role: str = "admin") -> AdminClient:
        """Return an admin client.  role: names the client at the brokers."""
        return AdminClient({**_CONNECT_TO_ALL_BROKERS, **self._base(role), **_NO_NEW_TOPICS})

    def consumer_settings(self, role: str = "source", *, brief: bool = False) -> dict[str, Any]:
        """Return the settings of a consumer that reads committed records only.

        It commits no offset by itself.  brief: the consumer is needed for a moment only.
        """
        return {
            # The limits of a client's buffer, and of what one response adds to it.  A worker has
            # one client for all its partitions: smaller responses let it read more of them in
            # turn, and what waits for long has left the processor's cache.
            "queued.max.messages.kbytes": 8_192,
            "fetch.max.bytes": 4_000_000,
            # The pause after a full buffer.  The default of a second leaves us without records.
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": 1_048_576,
            # A batch that was damaged on a disk or in transit must be an error, not a record.
            "check.crcs": True,
            **(_CONNECT_TO_ALL_BROKERS if brief else {}),
            **self._base(role),
            **self.consumer,
            "group.id": self.app_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            # An offset that is gone must be an error, never a jump.
            "auto.offset.reset": "error",
            **_NO_NEW_TOPICS,
        }

    def producer_settings(self, role: str, *, linger_ms: int = _LINGER_MS) -> dict[str, Any]:
        """Return the settings of an idempotent producer.

        linger_ms: how long it waits for more records before it sends, without a flush.
        """
        return {
            "linger.ms": linger_ms,
            "batch.size": self.batch_bytes,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 500_000,
            # A full queue takes only a few records at a time.  With at_least_once it may be
            # full, and the values that are lent to the client come on top of it.
            "queue.buffering.max.kbytes": 98_304,
            # The topic's own limit decides: the broker rejects a record, not the client.
            "message.max.bytes": _MAX_MESSAGE_BYTES,
            # The partitioner of Java clients: a record key has one partition for all writers.
            "partitioner": "murmur2_random",
            **_CONNECT_TO_ALL_BROKERS,
            **self._base(role),
            **self.producer,
            "enable.idempotence": True,
            "acks": "all",
            **_NO_NEW_TOPICS,
        }
