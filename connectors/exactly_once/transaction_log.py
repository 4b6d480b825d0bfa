"""A topic that only transactions write: a changelog, or the log of `dedup replay`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.exactly_once.transaction_errors import RETRY_TIMEOUT_SECONDS
from connectors.kafka.access import KafkaAccess
from connectors.kafka.offsets import ask_offsets
from connectors.kafka.read_errors import PASSING, unreadable
from connectors.kafka.requests import RETRIED, KafkaUnreachableError, retrying
from connectors.kafka.watched_admin import WatchedAdmin
from operators.errors import StateError

log = logging.getLogger("dedup.changelog")

_Answer = TypeVar("_Answer")

_CONSUME_MESSAGES = 500
_POLL_SECONDS = 0.5
_PROGRESS_SECONDS = 2.0
# The last record is searched this many offsets before the end (the commit marker takes one).
# If only aborted records are there, the search goes back further, by this factor.
_SEARCH_OFFSETS, _SEARCH_FACTOR = 2, 16
# A transaction's end reaches its partitions within milliseconds.
_SETTLE_SECONDS = 0.05
# How often a wait for it is told.
_TOLD_SECONDS = 5.0
# In an outage a question is asked again until it ends, as a commit is.
_OUTAGE = PASSING | RETRIED
_RETRY_SECONDS = 1.0
_OUTAGE_TOLD_SECONDS = 30.0
# The topic may have been made a moment ago, and not every broker has heard of it.
_PASSING_OF_A_NEW_TOPIC = RETRIED | {KafkaError.UNKNOWN_TOPIC_OR_PART}
# A leader answers in milliseconds.  One that is dead must not be waited for when there is another.
_ANSWER_SECONDS = 2.0
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A committed record's value, and the offset after it (end)."""

    end: int
    value: bytes


class TransactionLog:
    """Reads such a topic.  Each of its partitions has one transactional id that writes it."""

    def __init__(self, access: KafkaAccess, topic: str, role: str) -> None:
        """role: of the clients, in their ids."""
        self.topic = topic
        self._access = access
        self._role = role
        # One for all: its first request must be for topics (docs/adr/0002).
        self._admin = WatchedAdmin(access, f"{role}-admin")

    def admin(self) -> AdminClient:
        """Return the admin client."""
        return self._admin.client()

    def consumer(self) -> Consumer:
        """Return a consumer for `ends` and `read`; the caller closes it."""
        return Consumer(
            {
                **self._access.consumer_settings(self._role, brief=True),
                "fetch.message.max.bytes": 8_388_608,
                "queued.max.messages.kbytes": 65_536,
                # A fetch that finds nothing tells the end of the partition: let it return early.
                "fetch.wait.max.ms": 5,
            }
        )

    def ends(self, consumer: Consumer, number: int) -> tuple[int, int]:
        """First offset of a partition that still exists, and the offset after the last."""

        def ask() -> tuple[int, int]:
            position = TopicPartition(self.topic, number)
            try:
                first, last = consumer.get_watermark_offsets(position, timeout=_ANSWER_SECONDS)
            except KafkaException:
                # The client would go on to ask the leader that it knows.
                with suppress(KafkaException):
                    consumer.list_topics(self.topic, timeout=_ANSWER_SECONDS)
                raise
            return first, last

        return retrying(self._access, ask, _PASSING_OF_A_NEW_TOPIC)

    def wait_until_settled(self, number: int) -> None:
        """Wait until no transaction is open in a partition, whatever its state at brokers.

        Call it while the partition's producer is open: nobody else can have begun a transaction
        then.  But readers see the last one only when its end is written to this partition too,
        and a broker that was killed may do that late.  Who read it before that would do the same
        work again.

        Raises StateError if one is still open after `RETRY_TIMEOUT_SECONDS`, and
        KafkaUnreachableError if brokers do not answer.
        """
        began = told = time.monotonic()
        while True:
            committed, end = (
                self._end(number, level)
                for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
            )
            if committed >= end:
                return
            now = time.monotonic()
            if now - told > _TOLD_SECONDS:
                told = now
                log.warning(
                    "%s, partition %d: waiting until the brokers end the transaction at offset "
                    "%d, %.0f s so far",
                    self.topic,
                    number,
                    committed,
                    now - began,
                )
            if now - began > RETRY_TIMEOUT_SECONDS:
                msg = (
                    f"cannot read {self.topic}, partition {number}: a transaction is open from "
                    f"offset {committed} on. Nothing is lost: see the brokers' logs "
                    "(kafka-transactions.sh finds hanging transactions, and aborts them), start "
                    "again"
                )
                raise StateError(msg)
            self._access.waiting()
            time.sleep(_SETTLE_SECONDS)

    def _end(self, number: int, level: IsolationLevel) -> int:
        """Ask for the end of a partition; raise KafkaUnreachableError without an answer."""

        def ask() -> int:
            ends, errors = self.ask_ends([number], level, _ANSWER_SECONDS)
            if errors:
                # The client would go on to ask the leader that it knows.
                with suppress(KafkaException):
                    self.admin().list_topics(self.topic, timeout=_ANSWER_SECONDS)
                raise KafkaException(errors[number])
            return ends[number]

        return retrying(self._access, ask)

    def ask_ends(
        self, numbers: Iterable[int], level: IsolationLevel, seconds: float
    ) -> tuple[dict[int, int], dict[int, KafkaError]]:
        """Ask for the ends of partitions, once; return ends and errors, by partition."""
        places = [TopicPartition(self.topic, number) for number in numbers]
        asked_at = time.monotonic()
        offsets, errors = ask_offsets(self.admin(), places, _LATEST, level, seconds)
        if offsets:
            self._admin.answered()
        else:
            self._admin.unanswered(asked_at)
        return (
            {place.partition: offset for place, offset in offsets.items()},
            {place.partition: error for place, error in errors.items()},
        )

    def read(
        self, consumer: Consumer, number: int, start: int, progress: str | None = None
    ) -> Iterator[LogRecord]:
        """Read a partition's committed records from an offset to the end.

        Call it while the partition's producer is open: then no older transaction is open, and the
        end does not move.  progress: begins the log's lines about the progress; None for none.
        """
        first, end = self.ends(consumer, number)
        position = max(first, start)
        if position >= end:
            return
        consumer.assign([TopicPartition(self.topic, number, position)])
        began = logged = moved = time.monotonic()
        while position < end:
            before = position
            for message in _consume(consumer):
                error = message.error()
                if error is None:
                    position = _offset(message) + 1
                    yield LogRecord(position, message.value() or b"")
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    position = max(position, _offset(message))
                elif error.code() not in PASSING:
                    raise StateError(unreadable(self.topic, number, position, error))
            now = time.monotonic()
            moved = now if position > before else moved
            self._access.waiting()
            if now - moved > RETRY_TIMEOUT_SECONDS:
                msg = f"cannot read {self.topic}, partition {number}: no answer; start again"
                raise KafkaUnreachableError(msg, KafkaError._TIMED_OUT)  # noqa: SLF001
            if progress is not None and now - logged > _PROGRESS_SECONDS:
                logged = now
                share = (position - first) / max(end - first, 1)
                log.info("%s, %.0f%% after %.0f s", progress, share * 100, now - began)
        consumer.unassign()

    def last_value(self, number: int) -> bytes | None:
        """Return the value of a partition's last committed record; None without one."""
        consumer = self.consumer()
        try:
            first, end = self.ends(consumer, number)
            values = search_back(
                (first, end),
                lambda start: [record.value for record in self.read(consumer, number, start)],
                lambda _: True,
            )
        finally:
            consumer.close()
        return values[-1] if values else None


def search_back(
    span: tuple[int, int],
    read: Callable[[int], list[_Answer]],
    wanted: Callable[[_Answer], bool],
) -> list[_Answer]:
    """Read back from the end until a wanted record is found; return what was read last.

    span: offsets [first, end) of the partition.  read: reads from an offset to the end.
    """
    first, end = span
    back = _SEARCH_OFFSETS
    while True:
        start = max(first, end - back)
        records = read(start)
        if start == first or any(map(wanted, records)):
            return records
        back *= _SEARCH_FACTOR


def through_an_outage(who: str, ask: Callable[[], _Answer]) -> _Answer:
    """Ask brokers, and ask again while they are away.

    who: asks, in the log.  Raises KafkaUnreachableError for another error than their silence.
    """
    told = -math.inf
    while True:
        try:
            return ask()
        except KafkaUnreachableError as error:
            if error.code not in _OUTAGE:
                raise
            if time.monotonic() - told > _OUTAGE_TOLD_SECONDS:
                told = time.monotonic()
                log.warning("%s: asking again: %s", who, error)
            time.sleep(_RETRY_SECONDS)


def _consume(consumer: Consumer) -> list[Message]:
    """Wait for one message, then take the others: `consume` alone waits for a whole batch."""
    first = consumer.poll(_POLL_SECONDS)
    return [] if first is None else [first, *consumer.consume(_CONSUME_MESSAGES, 0)]


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset
