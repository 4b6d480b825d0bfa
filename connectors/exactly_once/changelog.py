"""The changelog topic: what each lane has answered and knows, one partition a lane."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from connectors.exactly_once.changelog_format import ChangelogRecord, unpack
from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.offsets import ask_offsets
from connectors.kafka.read_errors import PASSING, unreadable
from connectors.kafka.requests import REQUEST_SECONDS, list_topics, retrying
from connectors.kafka.timing import RETRY_TIMEOUT_SECONDS
from connectors.kafka.topics import create_topic, partition_counts, topic_config
from operators.errors import StateError

log = logging.getLogger("dedup.changelog")

_BROKER_DEFAULT = -1
_CONFIG = {
    "cleanup.policy": "delete",
    # Time must not take away the state of a paused stream: `trim` does, by event time.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # Whole segments are freed: small ones give space back sooner.
    "segment.bytes": str(64 * 1024 * 1024),
    # Our largest records have 655 kB (changelog_format.KEYS_A_RECORD).
    "max.message.bytes": str(1024 * 1024),
}
_MUST = ("cleanup.policy", "retention.ms", "retention.bytes")
_BATCH = 500
_READ_SECONDS = 0.5
_PROGRESS_SECONDS = 2.0
_SEEN_SECONDS = 0.1
# What a restart only saves some reading by is not worth standing still for.
_ASKING_SECONDS = 2.0
# Offsets before the end of a partition in which its last record is looked for: first over
# the marker that commits it, then further, over what was aborted.
_LOOK_BACK, _LOOK_FURTHER = 2, 16
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class ChangelogEntry:
    """A record, and the offset after it."""

    end: int
    record: ChangelogRecord


class Changelog:
    """Reads, checks and trims the changelog of an application."""

    def __init__(self, access: KafkaAccess, lanes: int) -> None:
        """lanes: number of lanes, which is that of the topic's partitions."""
        self.topic = f"{access.app_id}-changelog"
        self._access = access
        self._lanes = lanes
        self._admin: AdminClient | None = None
        self._lock = Lock()

    def ensure(self, input_topic: str) -> None:
        """Create the topic, or check that it is as it must be.

        input_topic: an application that has read from it has a changelog.
        Raises StateError.
        """
        admin = self._own_admin()
        counts = partition_counts(admin, self._access)
        if self.topic not in counts:
            self._check_new(counts.get(input_topic, 0), input_topic)
            create_topic(
                admin, NewTopic(self.topic, self._lanes, _BROKER_DEFAULT, config=dict(_CONFIG))
            )
            self._wait_until_seen(admin)
            self._warn_of_one_replica(admin)
            return
        partitions = counts[self.topic]
        if partitions != self._lanes:
            msg = (
                f"DEDUP_LANES={self._lanes}, but {self.topic} has {partitions} partitions, one for "
                "each lane that the application began with: set it back, or choose another "
                "DEDUP_APP_ID"
            )
            raise StateError(msg)
        self._check_config(admin)
        self._warn_of_one_replica(admin)

    def _wait_until_seen(self, admin: AdminClient) -> None:
        """Other brokers may hear of a new topic a moment later."""
        deadline = time.monotonic() + REQUEST_SECONDS
        while self.topic not in partition_counts(admin, self._access):
            if time.monotonic() > deadline:
                msg = f"topic {self.topic} was created but cannot be seen yet: start again"
                raise StateError(msg)
            time.sleep(_SEEN_SECONDS)

    def _check_new(self, partitions: int, input_topic: str) -> None:
        """An application without changelog must be new: the group has no offsets."""
        consumer = self.consumer()
        wanted = [TopicPartition(input_topic, number) for number in range(partitions)]
        try:
            found = retrying(
                self._access, lambda: consumer.committed(wanted, timeout=REQUEST_SECONDS)
            )
        finally:
            consumer.close()
        if any(one.offset >= 0 for one in found):
            msg = (
                f"DEDUP_APP_ID={self._access.app_id} has read {input_topic} before, but its "
                f"changelog {self.topic} is gone (or it ran with DEDUP_GUARANTEE=at_least_once): "
                "what it knew and answered cannot be told. Choose another DEDUP_APP_ID to begin "
                "anew"
            )
            raise StateError(msg)

    def _check_config(self, admin: AdminClient) -> None:
        try:
            config = topic_config(admin, self.topic)
        except KafkaException as error:
            log.warning("cannot check the settings of %s: %s", self.topic, error_text(error))
            return
        for name in _MUST:
            if config[name] != _CONFIG[name]:
                msg = (
                    f"topic {self.topic} has {name}={config[name]}, which would delete what "
                    f"the job knows: set it to {_CONFIG[name]}"
                )
                raise StateError(msg)

    def _warn_of_one_replica(self, admin: AdminClient) -> None:
        """Say it where the loss of one broker of several would be the loss of the state.

        New topics have the cluster's default.replication.factor, which is 1 unless set.
        """
        found = list_topics(self._access, admin)
        topic = found.topics.get(self.topic)
        replicas = [] if topic is None else [len(one.replicas) for one in topic.partitions.values()]
        if len(found.brokers) > 1 and 1 in replicas:
            log.warning(
                "topic %s has replication 1 on a cluster of %d brokers: with the loss of one of "
                "them what the job knows is lost. Give the topic more replicas "
                "(kafka-reassign-partitions.sh), and set default.replication.factor for new ones.",
                self.topic,
                len(found.brokers),
            )

    def consumer(self) -> Consumer:
        """Return a consumer for `ends` and `read`; the caller closes it."""
        return Consumer(
            {
                **self._access.consumer_settings("changelog", brief=True),
                "fetch.message.max.bytes": 8_388_608,
                "queued.max.messages.kbytes": 65_536,
                # That it has come to the end it hears from a fetch that found nothing.
                "fetch.wait.max.ms": 5,
            }
        )

    def ends(self, consumer: Consumer, lane: int) -> tuple[int, int]:
        """First offset that is there, and the one after the last."""

        def ask() -> tuple[int, int]:
            position = TopicPartition(self.topic, lane)
            first, last = consumer.get_watermark_offsets(position, timeout=REQUEST_SECONDS)
            return first, last

        return retrying(self._access, ask)

    def last_offsets(self, lanes: Iterable[int]) -> dict[int, int]:
        """Offset after the last committed record of each lane, all asked for at once.

        Lanes for which there is no answer in two seconds are missing.
        """
        until = time.monotonic() + _ASKING_SECONDS
        found, errors = self._ask_last_offsets(lanes, until)
        if any(error.code() > 0 for error in errors.values()):
            # Brokers said so: a leader is another since, or again.  A client that only asks
            # for offsets would ask as before for as long as it keeps metadata: 15 minutes.
            try:
                self._own_admin().list_topics(self.topic, timeout=_left(until))
            except KafkaException as error:
                errors = dict.fromkeys(errors, error.args[0])
            else:
                again, errors = self._ask_last_offsets(errors, until)
                found |= again
        for lane, why in errors.items():
            log.warning("lane %d: cannot ask for its last offset: %s", lane, error_text(why))
        return found

    def _ask_last_offsets(
        self, lanes: Iterable[int], until: float
    ) -> tuple[dict[int, int], dict[int, KafkaError]]:
        """Ask once, those who led when it was last heard; return offsets, and why there is none."""
        found, errors = ask_offsets(
            self._own_admin(),
            [TopicPartition(self.topic, lane) for lane in lanes],
            _LATEST,
            IsolationLevel.READ_COMMITTED,
            _left(until),
        )
        return (
            {place.partition: offset for place, offset in found.items()},
            {place.partition: error for place, error in errors.items()},
        )

    def read(self, consumer: Consumer, lane: int, start: int) -> Iterator[ChangelogEntry]:
        """Read a lane's committed records from an offset to the end, showing progress.

        Call it with the lane's producer open: then nothing is under way any more,
        and the end is the end.
        """
        first, end = self.ends(consumer, lane)
        at = max(first, start)
        if at >= end:
            return
        consumer.assign([TopicPartition(self.topic, lane, at)])
        begun = shown = moved = time.monotonic()
        while at < end:
            before = at
            for message in _next(consumer):
                error = message.error()
                if error is None:
                    at = _offset(message) + 1
                    yield ChangelogEntry(at, unpack(message.value() or b""))
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    at = max(at, _offset(message))
                elif error.code() not in PASSING:
                    raise StateError(unreadable(self.topic, lane, at, error))
            now = time.monotonic()
            moved = now if at > before else moved
            if now - moved > RETRY_TIMEOUT_SECONDS:
                msg = f"cannot read {self.topic}, partition {lane}: no answer; start again"
                raise StateError(msg)
            if now - shown > _PROGRESS_SECONDS:
                shown = now
                share = (at - first) / max(end - first, 1)
                log.info("lane %d: restoring, %.0f%% after %.0f s", lane, share * 100, now - begun)
        consumer.unassign()

    def last_records(self) -> list[ChangelogRecord | None]:
        """The record that ended the last committed transaction of each lane, None for none.

        Needs no lane to be open: another process may go on writing.
        """
        consumer = self.consumer()
        try:
            return [self._last_record(consumer, lane) for lane in range(self._lanes)]
        finally:
            consumer.close()

    def last_record(self, lane: int) -> ChangelogRecord | None:
        """The same of one lane."""
        consumer = self.consumer()
        try:
            return self._last_record(consumer, lane)
        finally:
            consumer.close()

    def _last_record(self, consumer: Consumer, lane: int) -> ChangelogRecord | None:
        first, end = self.ends(consumer, lane)
        back = _LOOK_BACK
        while True:
            start = max(first, end - back)
            found = [
                entry.record for entry in self.read(consumer, lane, start) if entry.record.last
            ]
            if found or start == first:
                return found[-1] if found else None
            back *= _LOOK_FURTHER

    def _own_admin(self) -> AdminClient:
        # Never two: with a client that is thrown away go the answers that it waits for, and
        # whoever asked would wait for ever.  Its first question is `ensure`'s, for topics: one
        # for offsets that meets the brokers' first answer is never sent again (docs/adr/0002).
        with self._lock:
            if self._admin is None:
                self._admin = self._access.admin()
            return self._admin

    def trim(self, lane: int, before: int) -> None:
        """Delete a lane's records before an offset; it does not wait for that."""
        futures = self._own_admin().delete_records([TopicPartition(self.topic, lane, before)])
        for future in futures.values():
            future.add_done_callback(lambda done: _log_failure(lane, done.exception()))


def _left(until: float) -> float:
    """Seconds to a time of `time.monotonic`; a moment where it has passed."""
    return max(until - time.monotonic(), 0.01)


def _next(consumer: Consumer) -> list[Message]:
    """Wait for something, then take what else is there: `consume` alone waits for a whole batch."""
    first = consumer.poll(_READ_SECONDS)
    return [] if first is None else [first, *consumer.consume(_BATCH, 0)]


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset


def _log_failure(lane: int, error: BaseException | None) -> None:
    if error is not None:
        log.warning("lane %d: cannot trim the changelog: %s", lane, error_text(error))
