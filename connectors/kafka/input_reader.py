"""Reads all input partitions of a worker with one client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Final, Literal
from zlib import crc32

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_errors import error_text
from connectors.kafka.input_watch import FRESH_SECONDS, InputWatch
from connectors.kafka.read_errors import NO_SUCH_TOPIC, NOT_ALLOWED, OversizedResponse, ReadErrors
from connectors.kafka.timing import PollTiming
from connectors.librdkafka.column_consumer import ColumnConsumer, Event, Fetched, Place
from connectors.librdkafka.request_counts import Request
from operators.batches import Batch, InputPartition, Records, Span, Spans
from operators.coalesce import BatchLimit, batch_limit
from operators.errors import SourceError
from operators.monitoring.observer import InputState, Observer

log = logging.getLogger("dedup.source")

SHARES: Final = 64
"""The input is cut into this many shares, whatever topics and partitions there are."""
_MIN_RECORDS: Final = 16
# After a batch with this many records more are likely waiting: read again at once.
_MANY_RECORDS: Final = 1000
_HEARTBEAT_SECONDS: Final = 0.5
_LAG_SECONDS: Final = 1.0
# A client that gets no answer although brokers answer others is told its brokers again, and then
# replaced: librdkafka may have dropped all its brokers (librdkafka#5301).
_SILENT_SECONDS, _REPLACE_SECONDS = 15.0, 30.0
# The third replacement within this time ends the process.
_REPLACEMENTS, _REPLACEMENT_SECONDS = 3, 600.0
_OFFSET_GONE: Final = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001


def share_of(partition: InputPartition) -> int:
    """Return the share that a partition belongs to; partitions of a topic are spread evenly."""
    name = partition.topic_id or partition.topic
    return (crc32(name.encode()) + partition.partition) % SHARES


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where to read from and when to stop.

    topics: of the input.  start: where a new application begins.  stop_at_end: stop at the
    offsets that were the end when the run began.  idle_seconds: a partition that was read to its
    end and had no data for this long (wall clock) is idle.  reading: when to read again at low
    load.  limit: the largest batch.
    """

    access: KafkaAccess
    topics: Sequence[str]
    start: Literal["earliest", "latest"] = "earliest"
    stop_at_end: bool = False
    idle_seconds: float = 30.0
    reading: PollTiming = field(default_factory=PollTiming)
    limit: BatchLimit = field(default_factory=partial(batch_limit, 1))


@dataclass(slots=True)
class _Reading:
    """What a reader knows of a partition.

    next: offset of the next record.  emitted: offset up to which spans were emitted.
    last_data: when a record came last, by the wall clock; quiet_since: the same by the watch's
    clock.  stop_at: offset at which this run ends.  told: `idle` and `ended` of the last span.
    """

    partition: InputPartition
    next: int
    emitted: int
    last_data: float
    quiet_since: float
    errors: ReadErrors
    stop_at: int | None = None
    idle: bool = False
    ended: bool = False
    told: tuple[bool, bool] | None = None

    @property
    def place(self) -> Place:
        """Topic and number."""
        return self.partition.topic, self.partition.partition

    def span(self, now: float) -> Span:
        """Make the span of all that was read since the last one."""
        span = Span(
            *(self.partition, self.emitted, self.next, now), idle=self.idle, ended=self.ended
        )
        self.emitted, self.told = self.next, (self.idle, self.ended)
        return span

    @property
    def has_news(self) -> bool:
        """Whether a span would say something new."""
        return self.emitted != self.next or self.told != (self.idle, self.ended)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Records that may be of a topic that was created again, until the watch has looked.

    check: the number of that check.  metadata: number of answers about topics that the client had
    when the records were taken from it.
    """

    check: int
    metadata: int
    fetched: Fetched


class InputReader:
    """Reads the partitions of a worker's shares.

    Promises: every committed record from the starting offset on, once, in offset order within
    a partition; a record is never taken for one of another topic of the same name.  An offset
    that retention has deleted is a SourceError, never a jump.
    """

    def __init__(
        self,
        settings: SourceSettings,
        watch: InputWatch,
        stops: Mapping[InputPartition, int],
        observer: Observer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """stops: offsets at which this run ends; empty if it does not end.

        clock: wall clock, epoch seconds.
        """
        self._settings = settings
        self._watch = watch
        self._stops = stops
        self._observer = observer
        self._clock = clock
        self._shares: set[int] = set()
        self._starts: dict[InputPartition, int] = {}
        self._partitions: tuple[InputPartition, ...] | None = None
        self._shares_read = 0
        self._is_known = False
        self._readings: dict[InputPartition, _Reading] = {}
        self._by_place: dict[Place, _Reading] = {}
        self._open()
        self._doubt: _Doubt | None = None
        self._waiting: list[Span] = []  # of partitions that are gone
        self._replaced: list[float] = []
        self._next_records = self._max_records = settings.limit.records
        self._emitted_at = self._looked_at = self._lag_reported = -float("inf")
        self._heartbeats = 0
        self.more_waiting = False

    def _open(self) -> None:
        settings = self._settings.access.consumer_settings()
        self._oversized = OversizedResponse(settings["error_cb"])
        settings["error_cb"] = self._oversized.on_error
        self._consumer = ColumnConsumer(settings)
        # Its first answers about topics are not checked yet.
        self._metadata = -1
        self._responses, self._response_at = 0, self._watch.clock()
        self._is_told_brokers = False

    def take(self, share: int, starts: Mapping[InputPartition, int]) -> None:
        """Read the partitions of one more share.

        starts: where to begin in its partitions; those that are missing are new, and begin at
        their first record.
        """
        self._shares.add(share)
        self._starts.update(starts)

    def positions(self, share: int) -> dict[InputPartition, int]:
        """Return the next offset of each partition of a share."""
        return {
            partition: reading.emitted
            for partition, reading in self._readings.items()
            if share_of(partition) == share
        }

    @property
    def ended(self) -> bool:
        """Whether all partitions were read to the end of this run."""
        return self._settings.stop_at_end and all(
            reading.told is not None and reading.told[1] for reading in self._readings.values()
        )

    def read(self) -> Sequence[Batch]:
        """Return a batch if there is data, a heartbeat now and then, else nothing."""
        now = self._clock()
        doubt = self._doubt
        if doubt is not None and self._watch.checked < doubt.check:
            return ()
        spans = self._follow_partitions(now)
        if self._doubt is not None:  # else there is none, or a new client reads these again
            fetched: Fetched | None = self._doubt.fetched
            self._metadata = self._doubt.metadata
            self._doubt = None
        else:
            fetched = self._fetch()
        if fetched is None:
            self._waiting += spans
            return ()
        spans, self._waiting = [*self._waiting, *spans], []
        records, spans_with_rows, ends = self._take(fetched, now)
        if now - self._looked_at >= _HEARTBEAT_SECONDS:
            self._looked_at = now
            self._watch_client()
            self._find_idle(now)
        spans = [*spans_with_rows, *spans, *self._news(now)]
        rows = ends[-1] if ends else 0
        self._adapt(rows, records)
        if not spans:
            return ()
        self._emitted_at = now
        if now - self._lag_reported >= _LAG_SECONDS:
            self.report_lag()
        known = None if self._is_known else self._partitions
        self._is_known = True
        ends += [rows] * (len(spans) - len(ends))
        return (Batch(Spans(spans, ends), records, known),)

    def _adapt(self, rows: int, records: Records) -> None:
        """Choose how many records to ask for next, by the size of the last ones."""
        self.more_waiting = rows >= min(_MANY_RECORDS, self._next_records)
        if rows:
            fitting = self._settings.limit.size_bytes * rows // max(records.size_bytes, 1)
            self._next_records = max(_MIN_RECORDS, min(self._max_records, fitting))

    def _follow_partitions(self, now: float) -> list[Span]:
        """Begin partitions that are new, and leave those that are gone; return spans of these."""
        partitions = self._watch.partitions
        if partitions is self._partitions and len(self._shares) == self._shares_read:
            return []
        self._is_known = self._is_known and partitions is self._partitions
        self._partitions, self._shares_read = partitions, len(self._shares)
        own = {partition for partition in partitions if share_of(partition) in self._shares}
        gone = [reading for reading in self._readings.values() if reading.partition not in own]
        for reading in gone:
            del self._readings[reading.partition]
        new = [
            self._begin(partition, now)
            for partition in sorted(own)
            if partition not in self._readings
            and (not self._settings.stop_at_end or partition in self._stops)
        ]
        self._readings.update((reading.partition, reading) for reading in new)
        self._by_place = {reading.place: reading for reading in self._readings.values()}
        if gone:
            # Only another client certainly gives no more of their records.
            self._replace_client()
        elif new:
            self._consumer.add({reading.place: reading.next for reading in new})
        return [
            Span(reading.partition, reading.emitted, reading.emitted, now, gone=True)
            for reading in gone
        ]

    def _begin(self, partition: InputPartition, now: float) -> _Reading:
        start = self._starts.get(partition)
        if start is None:
            start = self._watch.firsts[partition]
        stop_at = self._stops.get(partition)
        return _Reading(
            partition,
            next=start,
            emitted=start,
            last_data=now,
            quiet_since=self._watch.clock(),
            errors=ReadErrors(partition.topic, partition.partition),
            stop_at=stop_at,
            ended=stop_at is not None and start >= stop_at,
        )

    def _fetch(self) -> Fetched | None:
        """Take what has arrived; None while it is in doubt whose records it is.

        The client goes over to a topic of the same name when it gets an answer about topics.  So
        records are certain if no such answer has come since the watch has looked.
        """
        try:
            fetched = self._consumer.read(self._next_records, self._settings.limit.size_bytes)
        except KafkaException as error:
            msg = f"cannot read the input: {error_text(error)}"
            raise SourceError(msg) from error
        self._oversized.check(self._settings.topics)
        metadata = self._consumer.responses[Request.METADATA]
        is_lost = any(event.error.code() in _OFFSET_GONE for event in fetched.events)
        if is_lost or (metadata != self._metadata and (len(fetched.records) or fetched.events)):
            self._doubt = _Doubt(self._watch.request(), metadata, fetched)
            return None
        return fetched

    def _take(self, fetched: Fetched, now: float) -> tuple[Records, list[Span], list[int]]:
        """Follow the partitions over what was read; return records, spans and their ends."""
        records, spans, ends = fetched.records, [], []
        kept: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None
        begin, rows = 0, 0
        for place, end in zip(fetched.places, fetched.ends, strict=True):
            if begin == end:
                continue
            reading = self._by_place.get(place)
            count = 0 if reading is None or reading.ended else end - begin
            if reading is not None and count:
                offsets = records.offsets[begin:end]
                if reading.stop_at is not None and offsets[-1] >= reading.stop_at:
                    count = int(np.searchsorted(offsets, reading.stop_at))
                reading.next = int(offsets[count - 1]) + 1 if count else reading.next
                reading.last_data, reading.quiet_since = now, self._watch.clock()
                reading.idle = False
                reading.errors.note_progress()
                self._stop(reading, int(offsets[-1]) + 1)
            if count < end - begin:
                kept = np.ones(len(records), np.bool_) if kept is None else kept
                kept[begin + count : end] = False
            if reading is not None and count:
                rows += count
                spans.append(reading.span(now))
                ends.append(rows)
            begin = end
        if kept is not None:
            records = records.take(np.flatnonzero(kept))
        for event in fetched.events:
            self._handle(event)
        return records, spans, ends

    @staticmethod
    def _stop(reading: _Reading, position: int) -> None:
        """End a partition if the client's position has reached the end of this run."""
        if reading.stop_at is not None and position >= reading.stop_at:
            reading.next = max(reading.next, reading.stop_at)
            reading.ended = True

    def _handle(self, event: Event) -> None:
        """Follow an event; raise SourceError if reading cannot go on."""
        error = event.error
        reading = None if event.place is None else self._by_place.get(event.place)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            if reading is not None and not reading.ended:
                # The offsets up to the end hold transaction markers and aborted records only.
                reading.next = max(reading.next, event.offset)
                reading.errors.note_progress()
                self._stop(reading, reading.next)
        elif error.code() in NOT_ALLOWED:
            msg = f"cannot read topic {' or '.join(self._settings.topics)}: {error_text(error)}"
            raise SourceError(msg)
        elif error.code() in NO_SUCH_TOPIC:
            # Deleted, or its broker has just started: the watch finds out.
            self._watch.request()
            log.warning("reading the input: %s", error_text(error))
        elif reading is None:
            log.warning("reading the input: %s", error_text(error))
        elif error.code() in _OFFSET_GONE:
            raise _offset_is_gone(reading, error_text(error))
        else:
            reading.errors.handle(error, event.offset)

    def _news(self, now: float) -> list[Span]:
        """Return the spans of partitions without records that have news; or a heartbeat.

        Lanes need one now and then: their clock goes on, and they are opened by it.
        """
        quiet = [reading.span(now) for reading in self._readings.values() if reading.has_news]
        if quiet or now - self._emitted_at < _HEARTBEAT_SECONDS or not self._readings:
            return quiet
        self._heartbeats += 1
        readings = list(self._readings.values())
        return [readings[self._heartbeats % len(readings)].span(now)]

    def _find_idle(self, now: float) -> None:
        """Find the partitions that are idle: all was read, and nothing came for long."""
        quiet = []
        limit = self._settings.idle_seconds
        for reading in self._readings.values():
            if now - reading.last_data < min(limit / 2, _HEARTBEAT_SECONDS) or reading.ended:
                continue
            quiet.append(reading.partition)
            end = self._watch.ends.get(reading.partition)
            reading.idle = (
                now - reading.last_data >= limit
                and end is not None
                and end.asked_at >= reading.quiet_since
                and end.end <= reading.next
            )
        self._watch.quiet(id(self), quiet)

    def _watch_client(self) -> None:
        """Help a client that gets no answers although brokers give some; replace it if need be."""
        now, responses = self._watch.clock(), self._consumer.responses.total
        if responses != self._responses or not self._readings:
            self._responses, self._response_at = responses, now
            self._is_told_brokers = False
            return
        silent = now - self._response_at
        if silent < _SILENT_SECONDS or now - self._watch.answered_at > _SILENT_SECONDS:
            return
        if not self._is_told_brokers:
            self._is_told_brokers = True
            log.warning("no broker has answered for %.0f s: naming the brokers again", silent)
            self._consumer.add_brokers(self._settings.access.brokers)
        elif silent >= _REPLACE_SECONDS:
            self._replaced = [at for at in self._replaced if now - at < _REPLACEMENT_SECONDS]
            self._replaced.append(now)
            if len(self._replaced) >= _REPLACEMENTS:
                msg = (
                    "the brokers answer, but not to the clients that read the input: "
                    f"{_REPLACEMENTS} of them got no answer for {_REPLACE_SECONDS:.0f} s each. "
                    "Nothing is lost: see the brokers' logs, start again"
                )
                raise SourceError(msg)
            log.warning("no broker has answered for %.0f s: reading with a new client", silent)
            self._replace_client()

    def _replace_client(self) -> None:
        """Go on with a new client; the old one may wait forever when it is closed."""
        Thread(target=self._consumer.close, name="old-client", daemon=True).start()
        self._doubt = None
        self._open()
        if self._readings:
            self._consumer.add({reading.place: reading.next for reading in self._readings.values()})

    def report_lag(self) -> None:
        """Report how many records are behind each partition's next offset, if that is known."""
        self._lag_reported = self._clock()
        now = self._watch.clock()
        for reading in self._readings.values():
            end = -1
            if now - reading.quiet_since < FRESH_SECONDS:
                end = self._consumer.known_end(reading.place)
            elif (asked := self._watch.ends.get(reading.partition)) is not None:
                end = asked.end
            state: InputState = "read" if end >= 0 else "unreachable"
            state = "idle" if reading.idle else state
            lag = max(end - reading.next, 0) if end >= 0 else None
            self._observer.reading(reading.partition, lag, state)

    def commit(self, offsets: Mapping[InputPartition, int], *, wait: bool) -> None:
        """Commit offsets to the group, for lag tools; a failure only lets them trail."""
        places = {
            (partition.topic, partition.partition): offset
            for partition, offset in offsets.items()
            if partition in self._readings
        }
        if not places:
            return
        try:
            self._consumer.commit(places, wait=wait)
        except KafkaException as error:
            # The next commit includes these.
            log.warning("cannot commit offsets: %s", error_text(error))

    def all_positions(self) -> dict[InputPartition, int]:
        """Return the next offset of each partition."""
        return {partition: reading.emitted for partition, reading in self._readings.items()}

    def close(self) -> None:
        """Destroy the client; may wait forever for a commit under way."""
        self._consumer.close()


def _offset_is_gone(reading: _Reading, why: str) -> SourceError:
    topic, _, partition = reading.partition
    return SourceError(
        f"offset {reading.next} of {topic}/{partition} cannot be read: {why}. If retention deleted "
        "records before they were read, they are lost to this job: lengthen retention; to go on "
        "with the remaining records, begin again with another DEDUP_APP_ID."
    )
