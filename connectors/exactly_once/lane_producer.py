"""A lane's transactional producer: opened once, then one transaction after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from connectors.exactly_once.failpoints import hit, is_armed
from connectors.exactly_once.transaction_errors import Action, action_for
from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.permissions import WRITE, advice, forbidden_topics
from connectors.kafka.produce import produce_records, rejected
from connectors.kafka.timing import RETRY_TIMEOUT_SECONDS
from connectors.librdkafka.column_producer import ANY_PARTITION, ColumnProducer, NotTakenError
from connectors.librdkafka.packed_records import PackedRecords
from connectors.librdkafka.request_counts import Request
from operators.batches import Records
from operators.errors import SinkError

log = logging.getLogger("dedup.transactions")

# One call to librdkafka; it may be called again until our patience ends.
_CALL_SECONDS = 15.0
_PAUSE_SECONDS = 0.1
# Nobody may read a record before its transaction is committed, and a commit sends at once what
# still waits: until then it may wait to be sent with more, which is less work for the brokers.
_LINGER_MS = 50
# A producer that could send no record of a transaction for so long is opened anew: what settles
# the transaction before may be on its way twice.  Brokers ask each other again after 30 s.
_UNSENT_SECONDS = 5.0
_FLUSH_SECONDS = 0.25
# What took longer may have been asked for twice, by whomever.
_LONG_SECONDS = 1.0
# What `produce` says once a transaction, or the producer, has failed.
_BROKEN = (KafkaError._STATE, KafkaError._FATAL, KafkaError._FENCED)  # noqa: SLF001
# Records that an abort throws away say nothing about why there was one.
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)  # noqa: SLF001


class FencedError(SinkError):
    """Another process with the same transactional id has begun: this one must end."""


class LaneProducer:
    """The transactional producer of one lane.

    Promises: after the constructor returns, every older producer of the lane is
    fenced and its last transaction is settled (protocol rule 3a); a transaction is
    written whole or not at all; one that only the moment forbids is repeated.

    doubtful: what ended a transaction may have been asked for twice.  Brokers cannot tell the
    transactions of one epoch apart: what comes late would end the next one, in the middle of it.
    So there must be none before `renew`, which begins another epoch.
    """

    def __init__(self, access: KafkaAccess, lane: int) -> None:
        """Open it.  Raises SinkError if that cannot be done in `RETRY_TIMEOUT_SECONDS`."""
        self.lane = lane
        self._access = access
        self._topics: set[str] = set()
        self._id = f"{access.app_id}-lane-{lane}"
        self._broken = False
        self._ahead = self._unsent = False
        self._ended_before = self._sent_before = 0
        self.doubtful = False
        self._open()

    def _open(self) -> None:
        try:
            self._producer = ColumnProducer(
                {
                    **self._access.producer_settings(f"lane-{self.lane}", linger_ms=_LINGER_MS),
                    "transactional.id": self._id,
                }
            )
        except KafkaException as error:
            msg = f"cannot make the producer of lane {self.lane}: {error_text(error)}"
            raise SinkError(msg) from error
        self._call("open the transactional producer", self._producer.init_transactions)

    def renew(self) -> None:
        """Open it anew, under another epoch; a transaction that is open is thrown away.

        What the older producer asked for and nobody has answered is refused from now on.  But
        this one fences whoever has opened the lane meanwhile: the changelog says whether that
        one has written (`LaneWriter`).
        """
        self._open()
        self._ahead = self._unsent = self.doubtful = False

    def begin(self) -> None:
        """Begin a transaction, unless that was done ahead."""
        if not self._ahead:
            self.begin_ahead()
        self._ahead = False

    def begin_ahead(self) -> None:
        """Begin the next transaction before there is a record for it.

        No broker hears of it before the first record, but the client's own thread has to
        answer: whoever has the records need not wait for that.
        """
        self._topics.clear()
        self._producer.failures.clear()
        self._broken = False
        self._ended_before = self._producer.sent[Request.END_TXN]
        self._sent_before = self._producer.sent[Request.PRODUCE]
        self._call("begin a transaction", lambda _: self._producer.begin_transaction())
        self._ahead = True

    def produce(self, topic: str, records: PackedRecords, partition: int = ANY_PARTITION) -> None:
        """Add records to the transaction; waits while the queue is full.

        Once a record of a transaction has failed librdkafka takes no more: `commit`
        is told why.
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

    def commit(self, changelog: str, changes: Sequence[bytes]) -> Action | None:
        """Add the changelog's records and commit.

        Returns None if it is committed, `Action.RETRY_TRANSACTION` if it was aborted and has to
        be written again, by a renewed producer.  Raises FencedError, or SinkError for what no
        retry cures.
        """
        began = time.monotonic()
        written = PackedRecords(Records(np.zeros(len(changes), np.int64), changes))
        self.produce(changelog, written, partition=self.lane)
        hit("before_flush")
        if is_armed("before_commit"):  # else the commit flushes
            self._producer.flush(_CALL_SECONDS)
        hit("before_commit")
        if self._nothing_sent(began):
            log.warning("lane %d: no record could be sent for a while: repeating", self.lane)
            self._unsent = self.doubtful = True
            return Action.RETRY_TRANSACTION
        action = self._try(self._producer.commit_transaction)
        self._producer.poll()
        asked = self._producer.sent[Request.END_TXN] - self._ended_before
        if action is not None or asked > 1 or time.monotonic() - began > _LONG_SECONDS:
            self.doubtful = True
        return action

    def _nothing_sent(self, began: float) -> bool:
        """Whether no record of the transaction was sent, `_UNSENT_SECONDS` after its commit began.

        Then its partitions are not in it yet: the one before is not settled, or nobody answers.
        """
        while self._producer.sent[Request.PRODUCE] == self._sent_before:
            if not self._producer.flush(_FLUSH_SECONDS):
                return False  # or they have failed
            if time.monotonic() - began > _UNSENT_SECONDS:
                return True
        return False

    def abort(self) -> None:
        """Abort the open transaction; one that no broker has a record of only `renew` ends."""
        if self._unsent:
            return
        self._call("abort a transaction", self._producer.abort_transaction)
        self._producer.poll()

    def _try(self, call: Callable[[float], Any]) -> Action | None:
        deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
        while True:
            try:
                call(_CALL_SECONDS)
            except KafkaException as exception:
                error = exception.args[0]
                action = action_for(error)
                self._producer.poll()
                self._check_undelivered(exception)
                if action is Action.RETRY_TRANSACTION:
                    log.warning(
                        "lane %d: repeating a transaction: %s", self.lane, error_text(error)
                    )
                    return action
                if action is not Action.RETRY_CALL or time.monotonic() > deadline:
                    raise self._ended(action, error) from exception
                log.warning("lane %d: asking again: %s", self.lane, error_text(error))
                time.sleep(_PAUSE_SECONDS)
            else:
                return None

    def _check_undelivered(self, exception: KafkaException) -> None:
        """Raise SinkError if a call failed because a record was refused."""
        undelivered = [one for one in self._producer.failures if one.error.code() not in _PURGED]
        if not undelivered:
            return
        topic, cause, size = undelivered[0]
        if advice(cause, self._access.app_id):  # it is not about the topic
            raise self._ended(Action.REFUSED, cause) from exception
        if action_for(cause) is Action.REFUSED:
            limit = self._access.input_bytes
            raise rejected(topic, cause, size=size, input_bytes=limit) from exception

    def _call(self, what: str, call: Callable[[float], Any]) -> None:
        if self._try(call) is not None:
            msg = f"lane {self.lane} cannot {what}: the transaction was aborted"
            raise SinkError(msg)

    def _ended(self, action: Action, error: KafkaError) -> SinkError:
        if action is Action.FENCED:
            return FencedError(
                f"another process has taken over lane {self.lane} ({self._id}), or this one stood "
                "still for longer than transaction.timeout.ms: it ends and writes nothing more. "
                "Run one cluster for each DEDUP_APP_ID."
            )
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            # Met as the transaction asked for its partitions, which names none of them.
            forbidden = forbidden_topics(self._access, self._topics, WRITE)
            return rejected(" or ".join(forbidden or sorted(self._topics)), error)
        return SinkError(
            f"lane {self.lane} ({self._id}): {error_text(error)}"
            f"{advice(error, self._access.app_id)}. Nothing is "
            "lost: what was not committed is done again after a restart."
        )


def _is_broken(error: BaseException | None) -> bool:
    """Whether a record was not taken because the transaction, or the producer, is past saving."""
    if not isinstance(error, NotTakenError):
        return False
    return error.error.fatal() or error.error.code() in _BROKEN
