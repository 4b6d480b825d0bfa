"""Requests to brokers: asked again for some time, and errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text, is_rejected
from operators.errors import DedupError

# Long enough for a rolling restart's leader change, short enough for a person.
REQUEST_SECONDS = 15.0


class KafkaUnreachableError(DedupError):
    """No broker answered, or none let us in.  code: Kafka's, or librdkafka's."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


_Result = TypeVar("_Result")
# Together as long as a request: short ones first, since a refusal shows between them.
_LISTING_SECONDS = (1.0, 2.0, 4.0, 8.0)
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
# A coordinator that moves or loads says so at once; asking again soon is enough.
_AGAIN_SECONDS = 0.2
_AGAIN = frozenset(
    (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - librdkafka's own codes begin with _
        # A busy broker; whether there is one at all was asked before (`list_topics`).
        KafkaError._TIMED_OUT,  # noqa: SLF001
        # What a partition without a leader looks like; only those that were listed are asked for.
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    )
)


def retrying(access: KafkaAccess, call: Callable[[], _Result]) -> _Result:
    """Call Kafka; ask again while a leader or coordinator is moving, or nothing comes back.

    Raises KafkaUnreachableError for everything else, and after twice the time of
    a request.
    """
    deadline = time.monotonic() + 2 * REQUEST_SECONDS
    while True:
        try:
            return call()
        except KafkaException as error:
            cause = error.args[0]
            again = cause.code() in _AGAIN or cause.retriable()
            if not again or time.monotonic() > deadline:
                raise unreachable_error(access, error) from error
            time.sleep(_AGAIN_SECONDS)


def list_topics(access: KafkaAccess, admin: AdminClient) -> ClusterMetadata:
    """Ask for every topic.  The first thing to ask: it says why the brokers let nobody in.

    Raises KafkaUnreachableError, at once if they refuse us or we them.
    """
    for seconds in _LISTING_SECONDS:
        try:
            return admin.list_topics(timeout=seconds)
        except KafkaException as error:
            refusal = error
            admin.poll(0)  # calls error_cb
        if access.last_error.shut_out:
            break
    raise unreachable_error(access, refusal) from refusal


def unreachable_error(
    access: KafkaAccess, error: KafkaException | KafkaError
) -> KafkaUnreachableError:
    """Make the error for brokers that do not answer, or let nobody in."""
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
