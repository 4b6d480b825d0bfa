"""What a read error means: the brokers are not ready, or records cannot be read.

librdkafka skips a batch with a wrong checksum, and asks forever for a batch that cannot be
decompressed.  So the job goes on only after errors that are known to pass.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import OFFSET_INVALID, KafkaError

from connectors.kafka.client_errors import error_text
from operators.errors import SourceError

log = logging.getLogger("dedup.source")

# After these librdkafka asks again by itself, from the same offset: nothing is skipped.
PASSING: Final = frozenset(
    (
        KafkaError._TRANSPORT,  # noqa: SLF001 - librdkafka's own codes begin with _
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._WAIT_CACHE,  # noqa: SLF001
        KafkaError._DESTROY_BROKER,  # noqa: SLF001
        KafkaError._RETRY,  # noqa: SLF001
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_TOPIC_ID,  # a broker that has not heard of the topic yet
        # A broker that shuts down may answer this.  If it does not pass, it is repeated for long.
        KafkaError.UNKNOWN,
    )
)
NOT_ALLOWED: Final = frozenset(
    (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
)
NO_SUCH_TOPIC: Final = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    )
)
_DAMAGED: Final = frozenset(
    (
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001 - an unknown format or codec
        KafkaError.INVALID_MSG,
    )
)
_TOO_LARGE: Final = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE))
# The client asks again every half second.  An error after a longer pause is a new outage.
_MAX_PAUSE_SECONDS: Final = 10.0
# A rolling broker restart takes seconds.  The sinks retry as long as this.
MAX_OUTAGE_SECONDS: Final = 60.0
_MAX_RESPONSE: Final = "receive.message.max.bytes"


def is_response_too_large(error: KafkaError) -> bool:
    """Whether a broker's response is larger than the client takes: it reconnects forever."""
    return error.code() == KafkaError._BAD_MSG and _MAX_RESPONSE in error.str()  # noqa: SLF001


def unreadable(topic: str, partition: int, offset: int, error: KafkaError) -> str:
    """Say which record cannot be read, why, and what to do.  offset: of the first such record."""
    code = error.code()
    if code in _TOO_LARGE or is_response_too_large(error):
        advice = f"raise {_MAX_RESPONSE} in DEDUP_CONSUMER"
    elif code in _DAMAGED:
        advice = (
            "its batch is damaged, or was damaged in transit. If the error stays, let another "
            "replica lead the partition, or restore its log"
        )
    else:
        advice = "see the brokers' logs"
    return (
        f"offset {offset} of {topic}/{partition} cannot be read: {error_text(error)}. "
        f"Nothing was skipped: {advice}, and start again."
    )


class OversizedResponse:
    """Notes that a client got a response that it does not take: it asks for it forever."""

    def __init__(self, error_cb: Callable[[KafkaError], object]) -> None:
        """error_cb: called as well, with each error that the client met outside of any call."""
        self._error_cb = error_cb
        self._error: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Note an error, as a client's `error_cb`."""
        if is_response_too_large(error):
            self._error = error
        self._error_cb(error)

    def check(self, topics: Sequence[str]) -> None:
        """Raise SourceError if there was such a response.  topics: that the client reads."""
        if self._error is not None:
            msg = (
                f"records of {' or '.join(topics)} cannot be read: {error_text(self._error)}. "
                f"Nothing was skipped: raise {_MAX_RESPONSE} in DEDUP_CONSUMER, and start again."
            )
            raise SourceError(msg)


class ReadErrors:
    """Judges the errors of reading one input partition."""

    def __init__(
        self, topic: str, partition: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """clock: monotonic seconds."""
        self._topic, self._partition = topic, partition
        self._clock = clock
        self._since = self._latest = -math.inf  # first and last error of an outage

    def note_progress(self) -> None:
        """Note that the partition was read further."""
        self._since = -math.inf

    def handle(self, error: KafkaError, offset: int) -> None:
        """Log an error that passes; raise SourceError for every other error.

        offset: where the client met it.
        """
        # An error without an offset concerns the group, whose offsets only trail.
        if offset != OFFSET_INVALID and not self._passes(error):
            raise self._unreadable(offset, error)
        log.warning("reading %s/%d: %s", self._topic, self._partition, error_text(error))

    def _passes(self, error: KafkaError) -> bool:
        if error.code() != KafkaError.UNKNOWN:
            return error.code() in PASSING
        now = self._clock()
        if math.isinf(self._since) or now - self._latest > _MAX_PAUSE_SECONDS:
            self._since = now
        self._latest = now
        return now - self._since < MAX_OUTAGE_SECONDS

    def _unreadable(self, offset: int, error: KafkaError) -> SourceError:
        return SourceError(unreadable(self._topic, self._partition, offset, error))
