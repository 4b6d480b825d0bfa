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
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.read_errors import TOPIC_UNREADABLE, ReadErrors
from connectors.kafka.requests import REQUEST_SECONDS, retrying
from connectors.kafka.starting_offsets import starting_offsets
from connectors.kafka.timing import PollTiming
from connectors.librdkafka.column_consumer import ColumnConsumer, Event
from connectors.shutdown import exit_on_user_error, run_at_exit, started, stop_requested
from operators.batches import Batch, Records, Span
from operators.coalesce import BatchLimit, batch_limit
from operators.errors import SourceError
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer

log = logging.getLogger("dedup.source")

_MIN_RECORDS = 16
# A worker reads all its partitions before deciding.  Up to four get full batches; with more,
# each gets a smaller share.
_FULL_BATCHES = 4
# After a batch with this many records more are likely waiting: read again at once.
_MANY_RECORDS = 1000
_HEARTBEAT_SECONDS = 0.5
_LAG_SECONDS = 1.0
_OFFSET_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001
_OFFSETS_TRAIL = (
    "the brokers do not answer: the group's offsets trail the job's progress; lag tools see that, "
    "and a start without recovery"
)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where to read from and when to stop.

    start: where a new application begins.  stop_at_end: stop at the offsets that
    were the end when the run began.  idle_seconds: a partition without data for this long
    (wall clock) is idle.  reading: when to read again at low load.  limit: the largest batch.
    workers: number of workers of the whole job, which share the partitions.
    lane_positions: for each lane the next offset of each partition, from its changelog; empty
    without a changelog.
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
    """One topic partition, read by its own consumer."""

    def __init__(
        self,
        settings: SourceSettings,
        position: TopicPartition,
        partitions: int,
        clock: Callable[[], float],
        observer: Observer,
    ) -> None:
        """position: where to begin.  partitions: number of partitions of the topic."""
        self._settings = settings
        self._observer = observer
        self._partition = partition = position.partition
        self._partitions = partitions
        self._clock = clock
        self._next = position.offset
        self._stop_at: int | None = None
        self._ended = False
        self._last_data = self._last_emitted = clock()
        partitions_per_worker = -(-partitions // settings.workers)
        share = min(1.0, _FULL_BATCHES / partitions_per_worker)
        self._max_records = max(_MIN_RECORDS, int(settings.limit.records * share))
        self._max_bytes = int(settings.limit.size_bytes * share)
        self._next_records = self._max_records
        self._more_waiting = False
        self._lag_reported = 0.0
        self._snapshots: list[int] = []
        client = settings.access.consumer_settings(f"source-{partition}")
        self._errors = ReadErrors(settings.topic, partition, client["error_cb"])
        client["error_cb"] = self._errors.on_error
        self._consumer = ColumnConsumer(client, settings.topic, partition)
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
        self._more_waiting = len(records) >= min(_MANY_RECORDS, self._next_records)
        if len(records):
            self._last_data = now
            fitting = self._max_bytes * len(records) // max(records.size_bytes, 1)
            self._next_records = max(_MIN_RECORDS, min(self._max_records, fitting))
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
        if now - self._lag_reported >= _LAG_SECONDS:
            self._report_lag(now)
        return (Batch.of(span, records),)

    def _report_lag(self, now: float) -> None:
        """Report the lag, with the end that the last fetch returned."""
        self._lag_reported = now
        end = self._consumer.known_end()
        if end >= 0:  # else nothing has been fetched yet
            self._observer.lagging(self._partition, max(end - self._next, 0))

    def _read(self) -> tuple[Records, int]:
        """Read waiting records, one batch at most; return them and the next offset."""
        try:
            records, events = self._consumer.read(self._next_records, self._max_bytes)
        except KafkaException as error:
            raise self._cannot_read_offset(error_text(error)) from error
        end = int(records.offsets[-1]) + 1 if len(records) else self._next
        for event in events:
            end = max(end, self._handle(event))
        self._errors.check(end)
        if end > self._next:
            self._errors.note_progress()
        if self._stop_at is not None and end >= self._stop_at:
            count = int(np.searchsorted(records.offsets, self._stop_at))
            records, end = records.part(slice(count)), max(self._next, self._stop_at)
            self._ended = True
        return records, end

    def _handle(self, event: Event) -> int:
        """Return the next offset after an event; raise SourceError if reading cannot go on."""
        error = event.error
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            # The offsets up to the end hold transaction markers and aborted records only.
            return event.offset
        if error.code() in _OFFSET_GONE:
            raise self._cannot_read_offset(error_text(error))
        if error.code() in TOPIC_UNREADABLE:
            msg = f"cannot read topic {self._settings.topic}: {error_text(error)}"
            raise SourceError(msg)
        self._errors.handle(error, event.offset)
        return self._next

    def _cannot_read_offset(self, why: str) -> SourceError:
        return SourceError(
            f"offset {self._next} of {self._settings.topic}/{self._partition} cannot be read: "
            f"{why}. If retention deleted records before they were read, they are lost to this "
            "job: lengthen retention; to go on with the remaining records, begin again with "
            "another DEDUP_APP_ID. If DEDUP_INPUT_TOPIC was changed under this application id, "
            "set it back."
        )

    def next_awake(self) -> datetime | None:
        """Read again at once while many records are waiting, else after a short pause.

        A batch has a fixed cost, however few records it has, and so has a wake-up: so all
        partitions of a worker wake up together.
        """
        if self._more_waiting or self._ended or stop_requested.is_set():
            return None
        now = datetime.now(timezone.utc)
        return now + timedelta(seconds=self._settings.reading.wait(now.timestamp()))

    @exit_on_user_error
    def snapshot(self) -> int:
        """Return the next offset; commit to the group the offset that is certainly finished.

        When an epoch ends, all outputs of the epoch before it are written.  So the offset at
        the end of that one is committed (rule 2 of connectors/exactly_once), for lag tools and
        for a start without recovery.
        """
        self._snapshots.append(self._next)
        if len(self._snapshots) > 1:
            self._commit(self._snapshots.pop(0), wait=False)
        self._report_lag(self._clock())
        self._observer.liveness.epoch_ended()
        return self._next

    def _commit(self, offset: int, *, wait: bool) -> None:
        try:
            self._consumer.commit(offset, wait=wait)
        except KafkaException as error:
            # The group's offsets only trail.  The next commit includes this one.
            log.warning("cannot commit offset %d: %s", offset, error_text(error))

    def close(self) -> None:
        """Commit the last offset when the whole run has ended without an error."""
        self._observer.liveness.source_ended()
        run_at_exit(self._finish, _OFFSETS_TRAIL)

    def _finish(self) -> None:
        """Run at exit: all workers are done then, unless an exception ended the dataflow."""
        if not hasattr(sys, "last_value"):
            self._commit(self._next, wait=True)
        self._consumer.close()


class KafkaSource(FixedPartitionedSource[Batch, int]):
    """Reads a topic in batches; snapshots hold the next offset of each partition.

    Promises: every committed record from the starting offset on, once, in offset order
    within a partition.  An offset that retention has deleted is a SourceError, never a jump.
    Does not promise an order between partitions.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        clock: Callable[[], float] = time.time,
        observer: Observer | None = None,
    ) -> None:
        """settings: where to read from.  clock: wall clock, epoch seconds.

        observer: receives progress and lag.
        """
        self._settings = settings
        self._observer = observer or Observer(Metrics())
        self._clock = clock
        self._lock = Lock()
        self._known_starts: dict[int, int] | None = None

    @exit_on_user_error
    def list_parts(self) -> list[str]:
        """Name the topic's partitions by their numbers."""
        started.set()
        return [f"{partition:05d}" for partition in self._starts()]

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: int | None
    ) -> _KafkaSourcePartition:
        """Begin at the snapshot's offset, without one at the partition's starting offset."""
        del step_id
        starts = self._starts()
        partition = int(for_part)
        offset = starts[partition] if resume_state is None else resume_state
        position = TopicPartition(self._settings.topic, partition, offset)
        return _KafkaSourcePartition(
            self._settings, position, len(starts), self._clock, self._observer
        )

    def _starts(self) -> dict[int, int]:
        with self._lock:
            if self._known_starts is None:
                settings = self._settings
                self._known_starts = starting_offsets(
                    settings.access, settings.topic, settings.start, settings.lane_positions
                )
            return self._known_starts
