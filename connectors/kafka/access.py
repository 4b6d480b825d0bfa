"""How we connect to Kafka: client settings in one place, with the reason for each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connectors.kafka.client_errors import LastClientError, error_text
from connectors.kafka.log_filter import Repeats, Told
from operators.errors import SettingsError

log = logging.getLogger("dedup.kafka")
log.addFilter(Told())
log.addFilter(Repeats(time.monotonic))

_LARGEST_MESSAGE_BYTES = 1_000_000_000
# The one way to sign in that confluent_kafka adds to librdkafka, which we read and write
# with itself (docs/adr/0005, 0006).
_METADATA, _AWS = "sasl.oauthbearer.metadata.authentication.type", "aws_iam"

# A client that connects only to brokers that it needs, as librdkafka does unless told, forgets
# the broker it was given as soon as it has heard of the others, and may then not connect to
# one of those for up to a second (docs/adr/0002).  For clients that talk to all brokers anyway,
# or not for long; a source needs one broker, and would hold on to all of them for as long as
# it runs.
_AT_ONCE = {"enable.sparse.connections": False}

# A broker with auto.create.topics.enable creates every topic that an admin client or a producer
# asks about by name, unless the client says no: a misspelt or deleted one would come back empty.
_NO_NEW_TOPICS = {"allow.auto.create.topics": False}

# The lanes of a worker are given their records one after the other: so long, and most go
# together, which is less work for the brokers.
_LINGER_MS = 10
# Below Kafka's default of max.message.bytes, which is 1,048,588.
LARGEST_BATCH_BYTES = 1_000_000

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Where Kafka is and how to get in.

    brokers: `host:port,…`.  common, consumer, producer: librdkafka settings of
    the user's for all, for consumers, for producers.  complaints: what the clients
    met outside of any call.  batch_bytes: of several records together; input_bytes: of a
    batch of the input (`batch_sizes.fitted` asks for both).
    """

    brokers: str
    app_id: str
    common: Mapping[str, Scalar] = field(default_factory=dict)
    consumer: Mapping[str, Scalar] = field(default_factory=dict)
    producer: Mapping[str, Scalar] = field(default_factory=dict)
    last_error: LastClientError = field(default_factory=LastClientError, compare=False)
    batch_bytes: int = LARGEST_BATCH_BYTES
    input_bytes: int | None = None

    def _base(self, role: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.brokers,
            "client.id": f"{self.app_id}-{role}",
            "logger": log,
            "error_cb": self.last_error.add,
            **self.common,
        }

    def check(self) -> None:
        """Make a client of each kind once: only librdkafka knows which settings there are.

        Raises SettingsError that names the setting at fault.
        """
        given = {
            "DEDUP_KAFKA": self.common,
            "DEDUP_CONSUMER": self.consumer,
            "DEDUP_PRODUCER": self.producer,
        }
        for setting, settings in given.items():
            if settings.get(_METADATA) == _AWS:
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

    def admin(self) -> AdminClient:
        """Return an admin client."""
        return AdminClient({**_AT_ONCE, **self._base("admin"), **_NO_NEW_TOPICS})

    def consumer_settings(self, role: str = "source", *, brief: bool = False) -> dict[str, Any]:
        """Settings of a consumer that reads committed records and moves no offset by itself.

        brief: it is needed for a moment only.
        """
        return {
            # Messages of the source's own buffers, not of the whole process: one a partition.
            "queued.max.messages.kbytes": 8_192,
            # A full buffer is looked at again after this; the default of a second starves us.
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": 2_097_152,
            # What was damaged on a disk or on the way must be an error, not a record.
            "check.crcs": True,
            **(_AT_ONCE if brief else {}),
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
        """Settings of an idempotent producer.

        linger_ms: how long it waits for more before it sends, if nobody flushes.
        """
        return {
            "linger.ms": linger_ms,
            "batch.size": self.batch_bytes,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 500_000,
            # Once it is full, records go a few at a time; at least once it may be full, with
            # what is lent to the client beside it.
            "queue.buffering.max.kbytes": 98_304,
            # The topic's own limit decides, so that the broker says no, not the client.
            "message.max.bytes": _LARGEST_MESSAGE_BYTES,
            # As Java clients do: one record key, one partition, whoever writes.
            "partitioner": "murmur2_random",
            **_AT_ONCE,
            **self._base(role),
            **self.producer,
            "enable.idempotence": True,
            "acks": "all",
            **_NO_NEW_TOPICS,
        }
