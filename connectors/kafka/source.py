"""Kafka as a source: batches of columns, one Bytewax partition for each topic partition."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from threading import Lock
from typing import Literal

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.read_errors import ReadErrors
from connectors.kafka.requests import REQUEST_SECONDS, retrying
from connectors.kafka.timing import PollTiming
from connectors.librdkafka.column_consumer import ColumnConsumer, Event
from connectors.shutdown import exit_on_user_error, run_at_exit, started, stop_requested
from operators.batches import Batch, Records, Span
from operators.coalesce import BatchLimit, batch_limit
from operators.errors import SourceError
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer

log = logging.getLogger("dedup.source")

_FEWEST_RECORDS = 16
# All partitions of a worker are read before anything of them is decided.  So many have
# batches of full size, of more each has a smaller one.
_WHOLE_BATCHES = 4
_MUCH = 1000
_HEARTBEAT_SECONDS = 0.5
_LAG_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where to read from and when to stop.

    start: where a new application begins.  stop_at_end: stop at the offsets that
    were the end when the run began.  idle_seconds: without data for this long (wall
    clock) a partition is idle.  reading: when to read where little comes in.
    limit: what one batch may have.  workers: of the whole job, which share the partitions.
    lane_positions: for each lane the next offset of each partition, as its changelog has
    it; empty where there is no changelog.
    """

    access: KafkaAccess
    topic: str
    start: Literal["earliest", "latest"] = "earliest"
    stop_at_end: bool = False
    idle_seconds: float = 30.0
    reading: PollTiming = field(default_factory=PollTiming)
    limit: BatchLimit = field(default_factory=partial(batch_limit, 1))
    workers: int = 1
    lane_positions: Sequence[Mapping[int, int]] = ()


class _KafkaSourcePartition(StatefulSourcePartition[Batch, int]):
    """One topic partition, read by a consumer of its own."""

    def __init__(
        self,
        settings: SourceSettings,
        position: TopicPartition,
        partitions: int,
        clock: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._partition = position.partition
        self._partitions = partitions
        self._clock = clock
        self._next = position.offset
        self._stop_at: int | None = None
        self._ended = False
        self._last_data = self._last_emitted = clock()
        own = -(-partitions // settings.workers)
        share = min(1.0, _WHOLE_BATCHES / own)
        self._most_records = max(_FEWEST_RECORDS, int(settings.limit.records * share))
        self._most_bytes = int(settings.limit.size_bytes * share)
        self._most = self._most_records
        self._found_much = False
        self._lag_told = 0.0
        self._snapshots: list[int] = []
        client = settings.access.consumer_settings(f"source-{position.partition}")
        self._errors = ReadErrors(settings.topic, position.partition, client["error_cb"])
        client["error_cb"] = self._errors.on_error
        self._consumer = ColumnConsumer(client, settings.topic, position.partition)
        if settings.stop_at_end:
            self._stop_at = retrying(
                settings.access, lambda: self._consumer.ask_ends(REQUEST_SECONDS)
            )[1]
        self._consumer.assign(self._next)
        observer.liveness.source_opened()

    @exit_on_user_error
    def next_batch(self) -> Sequence[Batch]:
        """Return a batch if there is data, a heartbeat now and then, else nothing."""
        if self._ended or stop_requested.is_set():
            raise StopIteration
        self._observer.liveness.note_activity()
        records, end = self._read()
        now = self._clock()
        self._found_much = len(records) >= min(_MUCH, self._most)
        if len(records):
            self._last_data = now
            wanted = self._most_bytes * len(records) // max(records.size_bytes, 1)
            self._most = max(_FEWEST_RECORDS, min(self._most_records, wanted))
        elif (
            end == self._next and now - self._last_emitted < _HEARTBEAT_SECONDS and not self._ended
        ):
            return ()
        span = Span(
            partition=self._partition,
            partitions=self._partitions,
            start=self._next,
            end=end,
            read_at=now,
            idle=now - self._last_data >= self._settings.idle_seconds,
            ended=self._ended,
        )
        self._next = end
        self._last_emitted = now
        if now - self._lag_told >= _LAG_SECONDS:
            self._tell_lag(now)
        return (Batch.of(span, records),)

    def _tell_lag(self, now: float) -> None:
        """Tell how far behind the end this is, by what the last fetch said of the end."""
        self._lag_told = now
        end = self._consumer.known_end()
        if end >= 0:  # else nothing has been fetched yet
            self._observer.lagging(self._partition, max(end - self._next, 0))

    def _read(self) -> tuple[Records, int]:
        """Read what is waiting, a batch at most; return it, and how far was read."""
        try:
            records, events = self._consumer.read(self._most, self._most_bytes)
        except KafkaException as error:
            raise SourceError(self._gone(error_text(error))) from error
        end = int(records.offsets[-1]) + 1 if len(records) else self._next
        for event in events:
            end = max(end, self._look_at(event))
        self._errors.check(end)
        if end > self._next:
            self._errors.moved()
        if self._stop_at is not None and end >= self._stop_at:
            left = int(np.searchsorted(records.offsets, self._stop_at))
            records, end = records.part(slice(left)), max(self._next, self._stop_at)
            self._ended = True
        return records, end

    def _look_at(self, event: Event) -> int:
        """Return how far was read, by an event; raise SourceError if nothing can be read."""
        error = event.error
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            # Transaction markers and aborted records lie between: nothing of ours.
            return event.offset
        if error.code() in _GONE:
            raise SourceError(self._gone(error_text(error)))
        if error.code() in _REFUSED:
            msg = f"cannot read topic {self._settings.topic}: {error_text(error)}"
            raise SourceError(msg)
        self._errors.look_at(error, event.offset)
        return self._next

    def _gone(self, what: str) -> str:
        settings = self._settings
        return (
            f"offset {self._next} of {settings.topic}/{self._partition} cannot be read: {what}. "
            "If retention deleted records before they were read, they are lost to this job: "
            "lengthen retention; to go on from what is left, begin anew with another DEDUP_APP_ID. "
            "If DEDUP_INPUT_TOPIC was changed under this application id, set it back."
        )

    def next_awake(self) -> datetime | None:
        """Ask again at once while much is waiting, else after a short rest.

        A batch has its price, however few records are in it, and so has waking up: all
        partitions of a worker at a time.
        """
        if self._found_much or self._ended or stop_requested.is_set():
            return None
        now = datetime.now(timezone.utc)
        return now + timedelta(seconds=self._settings.reading.wait(now.timestamp()))

    @exit_on_user_error
    def snapshot(self) -> int:
        """Offset to go on from; tells the group how far everything is finished.

        When an epoch ends, all outputs of the one before are done: that one's end
        is what is committed, for lag tools and for a start without recovery.
        """
        self._snapshots.append(self._next)
        if len(self._snapshots) > 1:
            self._commit(self._snapshots.pop(0), wait=False)
        self._tell_lag(self._clock())
        self._observer.liveness.epoch_ended()
        return self._next

    def _commit(self, offset: int, *, wait: bool) -> None:
        try:
            self._consumer.commit(offset, wait=wait)
        except KafkaException as error:
            # The offsets of the group only trail; the next commit covers this one.
            log.warning("cannot commit offset %d: %s", offset, error_text(error))

    def close(self) -> None:
        """Commit the end once the whole run has ended well."""
        self._observer.liveness.source_ended()
        run_at_exit(self._finish, _TRAILS)

    def _finish(self) -> None:
        """At exit: the dataflow is done everywhere, unless an exception ended it."""
        if not hasattr(sys, "last_value"):
            self._commit(self._next, wait=True)
        self._consumer.close()


_TRAILS = (
    "the brokers do not answer: the group's offsets trail what is done; lag tools see that, and a "
    "start without recovery"
)
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001
_REFUSED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)


class KafkaSource(FixedPartitionedSource[Batch, int]):
    """Reads a topic in batches; snapshots hold the next offset of each partition.

    Promises: every committed record from the starting offset on, once each, in
    offset order within a partition; an offset that retention has deleted is a
    SourceError, never a jump.  Does not promise an order between partitions.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        clock: Callable[[], float] = time.time,
        observer: Observer | None = None,
    ) -> None:
        """settings: where to read from.  clock: wall clock, epoch seconds.

        observer: is told of progress and lag.
        """
        self._settings = settings
        self._observer = observer or Observer(Metrics())
        self._clock = clock
        self._lock = Lock()
        self._starts: dict[int, int] | None = None

    @exit_on_user_error
    def list_parts(self) -> list[str]:
        """Name the topic's partitions, by number."""
        started.set()
        return [f"{partition:05d}" for partition in self._begin()]

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: int | None
    ) -> _KafkaSourcePartition:
        """Begin at the snapshot's offset, else at the group's, else at `start`."""
        del step_id
        starts = self._begin()
        partition = int(for_part)
        offset = starts[partition] if resume_state is None else resume_state
        position = TopicPartition(self._settings.topic, partition, offset)
        return _KafkaSourcePartition(
            self._settings, position, len(starts), self._clock, self._observer
        )

    def _begin(self) -> dict[int, int]:
        """Starting offset of each partition; a new application's are committed first.

        One that began at `latest` and died at once must not begin at a later
        `latest` (protocol rule 5), nor one whose group was forgotten by the brokers: the
        changelog says how far its lanes are.  A partition that is new to an application
        that is not begins at its first record.
        """
        with self._lock:
            if self._starts is None:
                self._starts = self._read_starts()
            return self._starts

    def _read_starts(self) -> dict[int, int]:
        settings, access = self._settings, self._settings.access
        consumer = Consumer(access.consumer_settings("starts", brief=True))
        try:
            numbers = retrying(access, lambda: _partitions(consumer, settings.topic))
            wanted = [TopicPartition(settings.topic, number) for number in numbers]
            committed = retrying(
                access, lambda: consumer.committed(wanted, timeout=REQUEST_SECONDS)
            )
            starts = {one.partition: one.offset for one in committed if one.offset >= 0}
            is_new = not starts and not any(settings.lane_positions)
            at_latest = settings.start == "latest" and is_new
            missing = [one for one in wanted if one.partition not in starts]
            for one in missing:
                first, last = _ends(consumer, access, one)
                answered = _answered_by_all(settings.lane_positions, one.partition)
                starts[one.partition] = one.offset = (
                    last if at_latest else first if answered is None else answered
                )
            if missing and not is_new:
                log.warning(
                    "group %s has no offsets for %s, partitions %s: reading begins where the "
                    "changelog says, partitions that it does not know at their first record",
                    access.app_id,
                    settings.topic,
                    ", ".join(str(one.partition) for one in missing),
                )
            if missing:
                retrying(access, lambda: consumer.commit(offsets=missing, asynchronous=False))
        finally:
            consumer.close()
        return dict(sorted(starts.items()))


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    """Numbers of a topic's partitions.  Of none the input would seem to have been read whole."""
    listed = consumer.list_topics(topic, REQUEST_SECONDS).topics[topic]
    error = listed.error
    if error is not None and error.code() in _REFUSED:
        msg = f"cannot read topic {topic}: {error_text(error)}. Was it deleted just now?"
        raise SourceError(msg)
    if error is not None or not listed.partitions:
        raise KafkaException(error or KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    return sorted(listed.partitions)


def _answered_by_all(lane_positions: Sequence[Mapping[int, int]], partition: int) -> int | None:
    """Offset up to which every lane has answered a partition; None if one does not know it."""
    found = [positions.get(partition) for positions in lane_positions]
    known = [offset for offset in found if offset is not None]
    return min(known) if known and len(known) == len(found) else None


def _ends(consumer: Consumer, access: KafkaAccess, partition: TopicPartition) -> tuple[int, int]:
    """First offset of a partition, and the one after its last."""

    def ask() -> tuple[int, int]:
        first, last = consumer.get_watermark_offsets(partition, timeout=REQUEST_SECONDS)
        return first, last

    return retrying(access, ask)
