"""Requests to brokers: they are repeated for some time, and their errors say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text, is_rejected
from operators.errors import DedupError

_Result = TypeVar("_Result")

# Long enough for a leader change in a rolling restart, short enough for a person who waits.
REQUEST_SECONDS = 15.0
# Together as long as a request.  The first are short, because a rejection shows between them.
_LISTING_SECONDS = (1.0, 2.0, 4.0, 8.0)
# Other errors say more about the cause than these.
_SAYS_LITTLE = frozenset(
    (
        KafkaError._TIMED_OUT,  # noqa: SLF001 - librdkafka's own codes begin with _
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    )
)
_WHERE_TO_LOOK = "Check the address, that the broker is up, and DEDUP_KAFKA for TLS and SASL."
_CREDENTIALS = "Check sasl.mechanism, sasl.username and sasl.password in DEDUP_KAFKA."
_CERTIFICATE = (
    "Check ssl.ca.location (who signed the broker's certificate), the name or address in that "
    "certificate, and ssl.certificate.location and ssl.key.location in DEDUP_KAFKA."
)
# A coordinator that is moving or loading answers at once, so a short pause is enough.
_RETRY_SECONDS = 0.2
RETRIED = frozenset(
    (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        # The client and the broker do not both know of the newest leader yet.
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,  # a broker that shuts down
        KafkaError._WAIT_COORD,  # noqa: SLF001 - librdkafka's own codes begin with _
        # A busy broker: an earlier request (`list_topics`) showed that it exists.
        KafkaError._TIMED_OUT,  # noqa: SLF001
        # Partitions without a leader: callers ask only for partitions that were listed.
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._NOENT,  # noqa: SLF001 - none of those that were asked for has one
    )
)


# An admin client answers within the time-out of a request, or says that it was too late.
_GRACE_SECONDS = 5.0


class KafkaUnreachableError(DedupError):
    """No broker answered, or all rejected us.  code: Kafka's, or librdkafka's."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


def answer_to(future: Future[_Result], seconds: float = REQUEST_SECONDS) -> _Result:
    """Wait for what an admin client was asked, but not for ever should it have lost the request.

    seconds: the request's time-out.  Raises KafkaException.
    """
    try:
        return future.result(seconds + _GRACE_SECONDS)
    except FutureTimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None  # noqa: SLF001


def retrying(
    access: KafkaAccess, call: Callable[[], _Result], passing: Collection[int] = RETRIED
) -> _Result:
    """Call Kafka; repeat the call while a leader or coordinator moves, or no answer comes.

    passing: codes of errors that pass.
    Raises KafkaUnreachableError for every other error, and after 2 * REQUEST_SECONDS.
    """
    deadline = time.monotonic() + 2 * REQUEST_SECONDS
    while True:
        try:
            return call()
        except KafkaException as error:
            cause = error.args[0]
            may_pass = cause.code() in passing or cause.retriable()
            if not may_pass or time.monotonic() > deadline:
                raise unreachable_error(access, error) from error
            access.waiting()
            time.sleep(_RETRY_SECONDS)


def list_topics(access: KafkaAccess, admin: AdminClient) -> ClusterMetadata:
    """List all topics.  Ask this first: its error says why the brokers rejected us.

    Raises KafkaUnreachableError, at once after a rejection.
    """
    for seconds in _LISTING_SECONDS:
        try:
            return admin.list_topics(timeout=seconds)
        except KafkaException as error:
            last_error = error
            admin.poll(0)  # calls error_cb
        if access.last_error.is_rejection:
            break
    raise unreachable_error(access, last_error) from last_error


def unreachable_error(
    access: KafkaAccess, error: KafkaException | KafkaError
) -> KafkaUnreachableError:
    """Make the error for brokers that do not answer, or reject us."""
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if isinstance(cause, KafkaError) and cause.code() in _SAYS_LITTLE:
        cause = access.last_error.latest() or cause
    code = cause.code() if isinstance(cause, KafkaError) else None
    hint = _WHERE_TO_LOOK
    if isinstance(cause, KafkaError) and is_rejected(cause):
        hint = _CREDENTIALS if code == KafkaError._AUTHENTICATION else _CERTIFICATE  # noqa: SLF001
    return KafkaUnreachableError(
        f"cannot talk to Kafka at DEDUP_BROKERS={access.brokers}: {error_text(cause)}. {hint}", code
    )
