"""What an error of reading means: that the brokers are not ready, or that records cannot be had.

A batch that its checksum does not fit is skipped by librdkafka, one that cannot be decompressed
is asked for again and again.  So the job goes on only after errors that are known to pass.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import OFFSET_INVALID, KafkaError

from connectors.kafka.client_errors import error_text
from connectors.kafka.timing import RETRY_TIMEOUT_SECONDS
from operators.errors import SourceError

log = logging.getLogger("dedup.source")

# librdkafka asks again by itself, from where it was: nothing is skipped.
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
        # What a broker that shuts down may say; it passes, or it is said for long.
        KafkaError.UNKNOWN,
    )
)
_DAMAGED: Final = frozenset(
    (
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001
        KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001 - of a format or codec that nobody writes
        KafkaError.INVALID_MSG,
    )
)
_TOO_LARGE: Final = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE))
# The client asks again every half second: after a longer pause an error is another outage's.
_OUTAGE_SECONDS: Final = 10.0
_LARGEST_ANSWER: Final = "receive.message.max.bytes"


def is_answer_too_large(error: KafkaError) -> bool:
    """Whether a broker's answer is larger than a client takes: it connects again and again."""
    return error.code() == KafkaError._BAD_MSG and _LARGEST_ANSWER in error.str()  # noqa: SLF001


def unreadable(topic: str, partition: int, offset: int, error: KafkaError) -> str:
    """Say which record cannot be read, why, and what to do.  offset: of the first."""
    code = error.code()
    if code in _TOO_LARGE or is_answer_too_large(error):
        advice = f"raise {_LARGEST_ANSWER} in DEDUP_CONSUMER"
    elif code in _DAMAGED:
        advice = (
            "its batch is damaged, or was on the way here. If it stays so, let another replica "
            "lead the partition, or restore its log"
        )
    else:
        advice = "see the brokers' logs"
    return (
        f"offset {offset} of {topic}/{partition} cannot be read: {error_text(error)}. "
        f"Nothing was skipped: {advice}, and start again."
    )


class ReadErrors:
    """What one partition of the input met while it was read."""

    def __init__(
        self,
        topic: str,
        partition: int,
        tell: Callable[[KafkaError], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """tell: called with what a client meets outside of any call, besides.

        clock: seconds that never go back.
        """
        self._topic, self._partition = topic, partition
        self._tell = tell
        self._clock = clock
        self._since = self._latest = -math.inf  # of errors that are taken for one outage
        self._too_large: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Take note of an error, as a client's `error_cb`."""
        if is_answer_too_large(error):
            self._too_large = error
        self._tell(error)

    def moved(self) -> None:
        """Take note that something was read."""
        self._since = -math.inf

    def check(self, offset: int) -> None:
        """Raise SourceError if the client cannot get on.  offset: of what it should read next."""
        if self._too_large is not None:
            raise self._unreadable(offset, self._too_large)

    def look_at(self, error: KafkaError, offset: int) -> None:
        """Log what passes; raise SourceError for everything else.

        offset: where it was met.
        """
        # Without an offset it is about the group, whose offsets only trail.
        if offset != OFFSET_INVALID and not self._passes(error):
            raise self._unreadable(offset, error)
        log.warning("reading %s/%d: %s", self._topic, self._partition, error_text(error))

    def _passes(self, error: KafkaError) -> bool:
        if error.code() != KafkaError.UNKNOWN:
            return error.code() in PASSING
        now = self._clock()
        if math.isinf(self._since) or now - self._latest > _OUTAGE_SECONDS:
            self._since = now
        self._latest = now
        return now - self._since < RETRY_TIMEOUT_SECONDS

    def _unreadable(self, offset: int, error: KafkaError) -> SourceError:
        return SourceError(unreadable(self._topic, self._partition, offset, error))
