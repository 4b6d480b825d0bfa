"""Reads all input partitions of a worker with one client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from confluent_kafka import KafkaError

from connectors.kafka.client_errors import error_text
from connectors.kafka.group_offsets import comment_of
from connectors.kafka.input_client import OFFSET_GONE, InputClient
from connectors.kafka.input_watch import InputWatch
from connectors.kafka.partition_reading import Reading, share_of
from connectors.kafka.read_errors import NO_SUCH_TOPIC, NOT_ALLOWED
from connectors.kafka.source_settings import SourceSettings
from connectors.librdkafka.column_consumer import Event, Fetched, Place
from operators.batches import Batch, InputPartition, Records, Span, Spans
from operators.errors import SourceError
from operators.monitoring.observer import Observer

log = logging.getLogger("dedup.source")

_MIN_RECORDS: Final = 16
# After a batch with this many records more are likely waiting: read again at once.
_MANY_RECORDS: Final = 1000
_HEARTBEAT_SECONDS: Final = 0.5  # compared without a sign: the wall clock may step back
_LAG_SECONDS: Final = 1.0


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
        self._readings: dict[InputPartition, Reading] = {}
        self._by_place: dict[Place, Reading] = {}
        self._client = InputClient(settings.access, settings.topics, watch)
        self._waiting: list[Span] = []  # of partitions that are gone
        self._next_records = settings.limit.records
        self._emitted_at = self._looked_at = self._lag_reported = -float("inf")
        self._heartbeats = 0
        self.more_waiting = self.is_behind = False

    def take(self, share: int, starts: Mapping[InputPartition, int]) -> None:
        """Read the partitions of one more share.

        starts: where to begin in its partitions; those that are missing are new, and begin at
        their first record.
        """
        self._shares.add(share)
        self._starts.update(starts)

    def positions(self, share: int | None = None) -> dict[InputPartition, int]:
        """Return the next offset of each partition, of one share or of all."""
        return {
            partition: reading.emitted
            for partition, reading in self._readings.items()
            if share is None or reading.share == share
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
        if self._client.is_in_doubt:
            self.more_waiting = False  # look for the answer after a pause
            self._client.look_after(self._offsets())
            return ()
        spans = self._follow_partitions(now)
        fetched = self._client.read(self._next_records, self._settings.limit.size_bytes)
        if fetched is None:
            self._waiting += spans
            self.more_waiting = False
            return ()
        spans, self._waiting = [*self._waiting, *spans], []
        records, spans_with_rows, ends = self._take(fetched, now)
        if abs(now - self._looked_at) >= _HEARTBEAT_SECONDS:
            self._looked_at = now
            self._client.look_after(self._offsets())
            self._find_idle(now)
        spans = [*spans_with_rows, *spans, *self._news(now)]
        rows = ends[-1] if ends else 0
        self._adapt(rows, records)
        if not spans:
            return ()
        self._emitted_at = now
        if abs(now - self._lag_reported) >= _LAG_SECONDS:
            self.report_lag()
        # The watermark waits for all of these.
        known = None if self._is_known else tuple(filter(self._is_read, self._partitions or ()))
        self._is_known = True
        ends += [rows] * (len(spans) - len(ends))
        return (Batch(Spans(spans, ends), records, known),)

    def _adapt(self, rows: int, records: Records) -> None:
        """Choose how many records to ask for next, by the size of the last ones."""
        was_behind = self.more_waiting or self.is_behind
        self.more_waiting = rows >= min(_MANY_RECORDS, self._next_records)
        self.is_behind = was_behind and not self.more_waiting and self._backlog() >= _MANY_RECORDS
        if rows:
            limit = self._settings.limit
            fitting = limit.size_bytes * rows // max(records.size_bytes, 1)
            self._next_records = max(_MIN_RECORDS, min(limit.records, fitting))

    def _backlog(self) -> int:
        """Count the records that wait at the brokers, by their last answers."""
        end, readings = self._client.known_end, self._readings.values()
        return sum(max(end(reading.place) - reading.next, 0) for reading in readings)

    def _follow_partitions(self, now: float) -> list[Span]:
        """Begin new partitions, leave those that are gone; return spans of these."""
        partitions = self._watch.partitions
        if partitions is self._partitions and len(self._shares) == self._shares_read:
            return []
        self._is_known = self._is_known and partitions is self._partitions
        self._partitions, self._shares_read = partitions, len(self._shares)
        own = {partition for partition in partitions if share_of(partition) in self._shares}
        gone = [reading for reading in self._readings.values() if reading.partition not in own]
        for reading in gone:
            del self._readings[reading.partition]
            # Should the same topic come back, brokers only did not know it for a while.
            self._starts[reading.partition] = reading.emitted
            self._observer.left(reading.partition)
        new = [
            self._begin(partition, now)
            for partition in sorted(own)
            if partition not in self._readings and self._is_read(partition)
        ]
        self._readings.update((reading.partition, reading) for reading in new)
        self._by_place = {reading.place: reading for reading in self._readings.values()}
        if gone:
            # Only another client certainly gives no more of their records.
            self._client.replace(self._offsets())
        elif new:
            self._client.add({reading.place: reading.next for reading in new})
        return [reading.gone_span(now) for reading in gone]

    def _offsets(self) -> dict[Place, int]:
        """Return the offsets at which a new client begins."""
        return {reading.place: reading.next for reading in self._readings.values()}

    def _is_read(self, partition: InputPartition) -> bool:
        """Whether this run reads a partition; one with an end leaves those added later."""
        return not self._settings.stop_at_end or partition in self._stops

    def _begin(self, partition: InputPartition, now: float) -> Reading:
        start = self._starts.get(partition)
        if start is None:
            start = self._watch.firsts[partition]
        return Reading.begin(
            partition,
            start,
            stop_at=self._stops.get(partition),
            history_end=self._watch.history.get(partition),
            now=now,
            quiet_since=self._watch.clock(),
        )

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
                reading.stop(int(offsets[-1]) + 1)
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

    def _handle(self, event: Event) -> None:
        """Follow an event; raise SourceError if reading cannot go on."""
        error = event.error
        reading = None if event.place is None else self._by_place.get(event.place)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            if reading is not None and not reading.ended:
                # The offsets up to the end hold transaction markers and aborted records only.
                reading.next = max(reading.next, event.offset)
                reading.errors.note_progress()
                reading.stop(reading.next)
        elif error.code() in NOT_ALLOWED:
            msg = f"cannot read topic {' or '.join(self._settings.topics)}: {error_text(error)}"
            raise SourceError(msg)
        elif error.code() in NO_SUCH_TOPIC:
            # Deleted, or its broker has just started: the watch finds out.
            self._watch.request()
            log.warning("reading the input: %s", error_text(error))
        elif reading is None:
            log.warning("reading the input: %s", error_text(error))
        elif error.code() in OFFSET_GONE:
            raise reading.offset_is_gone(error_text(error))
        else:
            reading.errors.handle(error, event.offset)

    def _news(self, now: float) -> list[Span]:
        """Return the spans of partitions without records that have news; or a heartbeat.

        Lanes need one now and then: their clock goes on, and they are opened by it.
        """
        quiet = [reading.span(now) for reading in self._readings.values() if reading.has_news]
        if quiet or abs(now - self._emitted_at) < _HEARTBEAT_SECONDS or not self._readings:
            return quiet
        self._heartbeats += 1
        readings = list(self._readings.values())
        return [readings[self._heartbeats % len(readings)].span(now)]

    def _find_idle(self, now: float) -> None:
        """Find the partitions that are idle; have the ends of quiet ones asked for."""
        limit = self._settings.idle_seconds
        pause = min(limit / 2, _HEARTBEAT_SECONDS)
        quiet = [
            reading
            for reading in self._readings.values()
            if not reading.ended and abs(now - reading.last_data) >= pause
        ]
        for reading in quiet:
            reading.find_idle(now, limit, self._watch.ends.get(reading.partition))
        self._watch.quiet(id(self), [reading.partition for reading in quiet])

    def report_lag(self) -> None:
        """Report how many records are behind each partition's next offset, if that is known."""
        self._lag_reported = self._clock()
        now, ends = self._watch.clock(), self._watch.ends
        for reading in self._readings.values():
            known = self._client.known_end(reading.place)
            status = reading.status(now, known, ends.get(reading.partition))
            self._observer.reading(reading.partition, *status)

    def commit(self, offsets: Mapping[InputPartition, int], *, wait: bool) -> None:
        """Commit offsets to the group; a failure only lets them trail."""
        own = {one: self._readings[one].place for one in offsets if one in self._readings}
        if own:
            comments = {place: comment_of(one) for one, place in own.items()}
            places = {place: offsets[one] for one, place in own.items()}
            self._client.commit(places, comments, wait=wait)

    def close(self) -> None:
        """Destroy the client; may wait forever for a commit under way."""
        self._client.close()
