"""The changelog: what each lane has answered and knows, one partition per lane."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.exactly_once.changelog_format import ChangelogRecord, unpack
from connectors.exactly_once.changelog_topic import ensure_changelog
from connectors.exactly_once.transaction_log import TransactionLog, search_back
from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.requests import list_topics
from connectors.kafka.watched_admin import WatchedAdmin
from operators.batches import InputPartition
from operators.errors import StateError

log = logging.getLogger("dedup.changelog")

# Knowing the end only saves a restart some reading: wait no longer than this for it.
_END_SECONDS = 2.0
# Trimming can wait for another time.
_LEADER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ChangelogEntry:
    """A record, and the offset after it (end)."""

    end: int
    record: ChangelogRecord


@dataclass(frozen=True, slots=True)
class AnsweredInput:
    """What a lane has answered.

    fingerprint: setting → text, of the run that answered it.  positions: input partition → next
    offset.
    """

    fingerprint: dict[str, str]
    positions: Mapping[InputPartition, int]


class Changelog:
    """Reads, checks and trims the changelog of an application."""

    def __init__(self, access: KafkaAccess, lanes: int) -> None:
        """lanes: their number, which is the topic's number of partitions."""
        self.topic = f"{access.app_id}-changelog"
        self._access = access
        self._log = TransactionLog(access, self.topic, "changelog")
        self._trimming = WatchedAdmin(access, "changelog-trim")
        self._trim_failed = Event()
        self.lanes = lanes

    def ensure(self, input_topic: str) -> None:
        """Create the topic, or check that it is as it must be.

        input_topic: an application that has read from it must have a changelog already.
        Raises StateError.
        """
        ensure_changelog(self._access, self._shared_admin(), self.topic, self.lanes, input_topic)
        # The first request of a client must be one for topics (docs/adr/0002).
        list_topics(self._access, self._trimming.client())

    def consumer(self) -> Consumer:
        """Return a consumer for `ends` and `read`; the caller closes it."""
        return self._log.consumer()

    def ends(self, consumer: Consumer, lane: int) -> tuple[int, int]:
        """First offset that still exists, and the offset after the last."""
        return self._log.ends(consumer, lane)

    def wait_until_settled(self, lane: int) -> None:
        """Rule 3b: wait until no transaction is open in a lane's partition.

        Call it while the lane's producer is open.  Raises StateError and KafkaUnreachableError,
        as `TransactionLog` does.
        """
        self._log.wait_until_settled(lane)

    def last_offsets(self, lanes: Iterable[int]) -> dict[int, int]:
        """Offset after the last committed record of each lane, in one request for all.

        Lanes without an answer after two seconds are missing.
        """
        deadline = time.monotonic() + _END_SECONDS
        level = IsolationLevel.READ_COMMITTED
        offsets, errors = self._log.ask_ends(lanes, level, _END_SECONDS / 2)
        if errors:
            # Leadership may have changed.  A client that asks only for offsets would keep its old
            # leaders for 15 minutes, and wait for one that is dead again and again.
            with suppress(KafkaException):
                self._shared_admin().list_topics(self.topic, timeout=_seconds_left(deadline))
                more, errors = self._log.ask_ends(errors, level, _seconds_left(deadline))
                offsets |= more
        for lane, reason in errors.items():
            log.warning("lane %d: cannot ask for its last offset: %s", lane, error_text(reason))
        return offsets

    def read(self, consumer: Consumer, lane: int, start: int) -> Iterator[ChangelogEntry]:
        """Read a lane's committed records from an offset to the end; log the progress.

        Call it while the lane's producer is open: then no older transaction is open, and the
        end does not move.
        """
        for record in self._log.read(consumer, lane, start, f"lane {lane}: restoring"):
            yield ChangelogEntry(record.end, unpack(record.value))

    def answered(self) -> list[AnsweredInput | None]:
        """What each lane has answered, by its last committed transactions; None without one.

        No lane needs to be open: another process may go on writing.  Raises StateError.
        """
        consumer = self.consumer()
        try:
            return [self._answered(consumer, lane) for lane in range(self.lanes)]
        finally:
            consumer.close()

    def _answered(self, consumer: Consumer, lane: int) -> AnsweredInput | None:
        records = self._last_records(consumer, lane, lambda record: record.whole)
        if not records:
            return None
        whole = max((row for row, record in enumerate(records) if record.whole), default=None)
        if whole is None:
            msg = (
                f"{self.topic}, partition {lane}, lacks the record that says what was read: was it "
                "cut by hand? Choose another DEDUP_APP_ID to start over"
            )
            raise StateError(msg)
        positions: dict[int, int] = {}
        for record in records[whole:]:
            positions |= record.change.progress.positions
        inputs = records[whole].change.progress.inputs
        return AnsweredInput(
            records[whole].fingerprint,
            {inputs[number]: offset for number, offset in positions.items()},
        )

    def last_record(self, lane: int) -> ChangelogRecord | None:
        """The record that ended one lane's last committed transaction; None without one."""
        consumer = self.consumer()
        try:
            records = self._last_records(consumer, lane, lambda _: True)
        finally:
            consumer.close()
        return records[-1] if records else None

    def _last_records(
        self, consumer: Consumer, lane: int, wanted: Callable[[ChangelogRecord], bool]
    ) -> list[ChangelogRecord]:
        """Read back until a wanted record is found; return the records that end transactions."""
        return search_back(
            self.ends(consumer, lane),
            lambda start: [
                entry.record for entry in self.read(consumer, lane, start) if entry.record.last
            ],
            wanted,
        )

    def _shared_admin(self) -> AdminClient:
        # Its first request is `ensure`'s, for topics.
        return self._log.admin()

    def trim(self, lane: int, before: int) -> None:
        """Rule 6: delete a lane's records before an offset.  Does not wait for the deletion.

        Call `ensure` before.  A broker answers when all replicas have deleted them, and answers
        nothing else on the same connection meanwhile: with a replica away it is a minute.  So no
        other question may come from the same client.
        """
        admin = self._trimming.client()
        if self._trim_failed.is_set():
            # The leaders may be others by now, and the client would not ask for 15 minutes.
            asked_at = time.monotonic()
            try:
                admin.list_topics(self.topic, timeout=_LEADER_SECONDS)
            except KafkaException:
                self._trimming.unanswered(asked_at)
            else:
                self._trimming.answered()
                self._trim_failed.clear()
        futures = admin.delete_records([TopicPartition(self.topic, lane, before)])
        for future in futures.values():
            future.add_done_callback(partial(_trimmed, self._trim_failed, lane))


def _trimmed(failed: Event, lane: int, done: Future[object]) -> None:
    """Note what became of a trim.

    The client's own thread calls this: it must hold no reference to the client, which that thread
    may not destroy.
    """
    error = done.exception()
    if error is not None:
        failed.set()
        log.warning("lane %d: cannot trim the changelog: %s", lane, error_text(error))


def _seconds_left(deadline: float) -> float:
    """Seconds until a time of `time.monotonic`; at least 0.01."""
    return max(deadline - time.monotonic(), 0.01)
