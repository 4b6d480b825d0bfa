"""A lane's transactional producer: opened once, then one transaction after another."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from connectors.exactly_once.failpoints import hit, is_armed
from connectors.exactly_once.transaction_errors import RETRY_TIMEOUT_SECONDS, Action, action_for
from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.permissions import WRITE, advice, forbidden_topics
from connectors.kafka.produce import produce_records, rejected
from connectors.librdkafka.column_producer import ANY_PARTITION, ColumnProducer, NotTakenError
from connectors.librdkafka.packed_records import PackedRecords
from connectors.librdkafka.request_counts import Request
from operators.batches import Records
from operators.errors import SinkError

log = logging.getLogger("dedup.transactions")

# One call to librdkafka; it is called again until RETRY_TIMEOUT_SECONDS have passed.
_CALL_SECONDS = 15.0
_PAUSE_SECONDS = 0.1
# Readers see a record only after its commit, and a commit sends waiting records at once.  Until
# then they may wait for others: larger requests are less work for the brokers.
_LINGER_MS = 50
# Rule 9: if no record of a transaction could be sent for this long, a new epoch is needed.  The
# request that ends the previous transaction may be under way twice: brokers retry after 30 s.
_UNSENT_SECONDS = 5.0
_FLUSH_SECONDS = 0.25
# Rule 9: in a longer commit the client or a broker may have sent a request twice.
_LONG_COMMIT_SECONDS = 1.0
# The errors of `produce` once the transaction, or the producer, has failed.
_BROKEN = (KafkaError._STATE, KafkaError._FATAL, KafkaError._FENCED)  # noqa: SLF001
# Records that an abort drops do not tell its cause.
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)  # noqa: SLF001


class LostProducerError(SinkError):
    """The producer cannot go on; another one may, if the lane is still this process's."""


class FencedError(LostProducerError):
    """Another process has taken over the transactional id, or the brokers ended a transaction."""


class LaneProducer:
    """The transactional producer of one lane.

    Promises: after the constructor returns, every older producer of the lane is fenced and its
    last transaction is settled (rule 3a).  A transaction is written whole or not at all; after a
    passing error it is repeated.

    in_transaction: whether one has begun and is neither committed nor aborted.
    doubtful: a request that ends a transaction may have been sent twice (rule 9).  Brokers cannot
    tell the transactions of one epoch apart: a late request would end the next transaction in the
    middle.  So none may begin before `renew`, which starts a new epoch.
    """

    def __init__(self, access: KafkaAccess, index: int, name: str | None = None) -> None:
        """Open the producer.  Raises SinkError if that fails for `RETRY_TIMEOUT_SECONDS`.

        name: of what writes with it, for messages; by default it is the lane.
        """
        self.index = index
        self._access = access
        self._topics: set[str] = set()
        self._id = f"{access.app_id}-lane-{index}"
        self._name = name or f"lane {index}"
        self._full_name = name or f"lane {index} ({self._id})"
        self._broken = False
        self._begun_ahead = self._unsent = False
        self._ended_before = self._sent_before = 0
        self.in_transaction = self.doubtful = False
        self._open()

    def _open(self) -> None:
        """Rule 3a: fence every older producer of the lane, and settle its last transaction."""
        try:
            self._producer = ColumnProducer(
                {
                    **self._access.producer_settings(f"lane-{self.index}", linger_ms=_LINGER_MS),
                    "transactional.id": self._id,
                },
                self._access.waiting,
            )
        except KafkaException as error:
            msg = f"cannot make the producer of {self._name}: {error_text(error)}"
            raise SinkError(msg) from error
        self._call("open the transactional producer", self._producer.init_transactions)

    def renew(self) -> None:
        """Rule 9: open a new producer, in a new epoch; an open transaction is dropped.

        From now on brokers refuse late requests of the old epoch.  But the new producer also
        fences a process that has taken the lane over meanwhile: the caller must check in the
        changelog whether that one has written.
        """
        self._open()
        self.in_transaction = False
        self._begun_ahead = self._unsent = self.doubtful = False

    def begin(self) -> None:
        """Begin a transaction, unless it was begun ahead."""
        if not self._begun_ahead:
            self.begin_ahead()
        self._begun_ahead = False
        self.in_transaction = True

    def begin_ahead(self) -> None:
        """Begin the next transaction before there is a record for it.

        The brokers hear of it with the first record, but the client's own thread has to answer.
        Begun ahead, that wait does not delay the first record.
        """
        self._topics.clear()
        self._producer.failures.clear()
        self._broken = False
        self._ended_before = self._producer.sent[Request.END_TXN]
        self._sent_before = self._producer.sent[Request.PRODUCE]
        self._call("begin a transaction", lambda _: self._producer.begin_transaction())
        self._begun_ahead = True

    def produce(self, topic: str, records: PackedRecords, partition: int = ANY_PARTITION) -> None:
        """Add records to the transaction; waits while the queue is full.

        Once a record has failed, librdkafka takes no more records of the transaction.  They are
        ignored here, since `commit` then reports the cause.
        """
        if self._broken:
            return
        self._topics.add(topic)
        try:
            produce_records(self._producer, topic, records, partition)
        except SinkError as error:
            if not _is_broken(error.__cause__):
                raise
            self._broken = True

    def poll(self) -> None:
        """Log what the client has to say; it keeps that until it is polled."""
        self._producer.poll()

    def commit(self, changelog: str, changes: Sequence[bytes]) -> Action | None:
        """Add the changelog's records and commit.

        Returns None once it is committed.  `Action.RETRY_TRANSACTION` means that it must be
        aborted and repeated.  Raises FencedError, or SinkError for an error that no retry cures.
        """
        began = time.monotonic()
        records = PackedRecords(Records(np.zeros(len(changes), np.int64), changes))
        self.produce(changelog, records, partition=self.index)
        hit("before_flush")
        if is_armed("before_commit"):  # otherwise the commit flushes
            self._producer.flush(_CALL_SECONDS)
        hit("before_commit")
        if self._nothing_sent(began):
            log.warning(
                "%s: no record could be sent for a while: repeating the transaction", self._name
            )
            self._unsent = self.doubtful = True
            return Action.RETRY_TRANSACTION
        action = self._try(self._producer.commit_transaction)
        self._producer.poll()
        ends = self._producer.sent[Request.END_TXN] - self._ended_before
        if action is not None or ends > 1 or time.monotonic() - began > _LONG_COMMIT_SECONDS:
            self.doubtful = True  # rule 9
        self.in_transaction = action is not None
        return action

    def _nothing_sent(self, began: float) -> bool:
        """Rule 9: whether no record could be sent for `_UNSENT_SECONDS` after the commit began.

        Then the brokers have added no partition yet: the previous transaction is not settled, or
        no broker answers.
        """
        while self._producer.sent[Request.PRODUCE] == self._sent_before:
            if not self._producer.flush(_FLUSH_SECONDS):
                return False  # all are acknowledged, or have failed
            if time.monotonic() - began > _UNSENT_SECONDS:
                return True
            self._access.waiting()
        return False

    def abort(self) -> None:
        """Abort the open transaction.  If no record of it was sent, only `renew` can end it."""
        if self._unsent:
            return
        self._call("abort a transaction", self._producer.abort_transaction)
        self._producer.poll()
        self.in_transaction = False

    def write_transaction(
        self,
        produce: Callable[[], None],
        changelog: str,
        changes: Sequence[bytes],
        renew: Callable[[], None],
    ) -> None:
        """Begin, produce, commit; if the transaction is aborted, repeat it whole.

        produce: adds the records.  A transaction that is open has them already.
        changelog, changes: the topic and values of the records that end the transaction.
        renew: called before each repetition; it starts a new epoch there (rule 9).
        Raises LostProducerError, which may be a FencedError, or SinkError for an error that no
        other producer cures.
        """
        if not self.in_transaction:
            self.begin()
            produce()
        deadline = math.inf
        while self.commit(changelog, changes) is not None:
            # An abort waits until an outage is over: only then does the timeout start.
            self.abort()
            deadline = min(deadline, time.monotonic() + RETRY_TIMEOUT_SECONDS)
            if time.monotonic() > deadline:
                msg = (
                    f"{self._full_name}: a transaction was aborted again and again "
                    f"for {RETRY_TIMEOUT_SECONDS:.0f} s. Nothing is lost: see the brokers' logs, "
                    "then start again."
                )
                raise LostProducerError(msg)
            renew()
            self.begin()
            produce()

    def _try(self, call: Callable[[float], Any]) -> Action | None:
        """Rule 8: call again, tell the caller to repeat the transaction, or raise SinkError."""
        deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
        while True:
            responses = self._producer.responses.total
            try:
                call(_CALL_SECONDS)
            except KafkaException as exception:
                error = exception.args[0]
                action = action_for(error)
                self._access.waiting()
                self._producer.poll()
                self._check_undelivered(exception)
                if action is Action.RETRY_TRANSACTION:
                    log.warning("%s: repeating a transaction: %s", self._name, error_text(error))
                    return action
                if action is not Action.RETRY_CALL or time.monotonic() > deadline:
                    raise self._final_error(action, error) from exception
                log.warning("%s: asking again: %s", self._name, error_text(error))
                if self._producer.responses.total == responses:
                    # It may have lost its brokers (connectors/kafka/client_silence.py).
                    self._producer.add_brokers(self._access.brokers)
                time.sleep(_PAUSE_SECONDS)
            else:
                return None

    def _check_undelivered(self, exception: KafkaException) -> None:
        """Raise SinkError if the call failed because a record was refused."""
        undelivered = [
            failure for failure in self._producer.failures if failure.error.code() not in _PURGED
        ]
        if not undelivered:
            return
        topic, cause, size = undelivered[0]
        if advice(cause, self._access.app_id):  # the topic is not to blame
            raise self._final_error(Action.REFUSED, cause) from exception
        if action_for(cause) is Action.REFUSED:
            limit = self._access.input_bytes
            raise rejected(topic, cause, size=size, input_bytes=limit) from exception

    def _call(self, what: str, call: Callable[[float], Any]) -> None:
        if self._try(call) is not None:
            msg = f"{self._name} cannot {what}: the transaction was aborted"
            raise LostProducerError(msg)

    def _final_error(self, action: Action, error: KafkaError) -> SinkError:
        if action is Action.FENCED:
            return FencedError(
                f"another process has taken over {self._full_name}, or this one stood "
                "still for longer than transaction.timeout.ms: it ends and writes nothing more. "
                "Run one cluster for each DEDUP_APP_ID."
            )
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            # The request that adds partitions to the transaction failed; its error names no topic.
            forbidden = forbidden_topics(self._access, self._topics, WRITE)
            return rejected(" or ".join(forbidden or sorted(self._topics)), error)
        kind = SinkError if action is Action.REFUSED else LostProducerError
        return kind(
            f"{self._full_name}: {error_text(error)}{advice(error, self._access.app_id)}. "
            "Nothing is lost: a restart repeats all uncommitted work."
        )


def _is_broken(error: BaseException | None) -> bool:
    """Whether a record was not taken because the transaction, or the producer, has failed."""
    if not isinstance(error, NotTakenError):
        return False
    return error.error.fatal() or error.error.code() in _BROKEN
