"""Rule 8: one table says what an error of a transaction leads to.

The first row that fits counts.

| librdkafka reports | meaning | action |
|---|---|---|
| a code in `FENCED` | another process has taken over | end: the restart is exact |
| a code in `REFUSED` | a record was refused, or a permission is missing | end, naming the topic |
| fatal | the producer cannot recover | end: the restart is exact |
| `txn_requires_abort()` | this transaction cannot commit, a new one can | abort and repeat it |
| `retriable()`, or a code in `RETRY_CALL` | no answer yet | the same call again |
| anything else | a bug or a misuse | end |

Repeated transactions and calls give up after `RETRY_TIMEOUT_SECONDS`.
"""

from __future__ import annotations

from enum import Enum

from confluent_kafka import KafkaError

# A rolling broker restart takes seconds.  The broker aborts a transaction that is open for longer
# than transaction.timeout.ms (60 s) anyway.
RETRY_TIMEOUT_SECONDS = 60.0


class Action(Enum):
    """What to do next."""

    RETRY_CALL = "call again"
    RETRY_TRANSACTION = "abort and repeat the transaction"
    FENCED = "end: another process has taken over"
    REFUSED = "end: the broker refuses it"
    END = "end: unexpected"


FENCED = frozenset(
    (
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own codes begin with _
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    )
)
REFUSED = frozenset(
    (
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
    )
)
RETRY_CALL = frozenset(
    (
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._CONFLICT,  # noqa: SLF001 - the previous call is still under way
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    )
)


def action_for(error: KafkaError) -> Action:
    """What an error of a transactional call leads to."""
    if error.code() in FENCED:
        return Action.FENCED
    if error.code() in REFUSED:
        return Action.REFUSED
    if error.fatal():
        return Action.END
    if error.txn_requires_abort():
        return Action.RETRY_TRANSACTION
    if error.retriable() or error.code() in RETRY_CALL:
        return Action.RETRY_CALL
    return Action.END
