"""Kafka as a source: each worker reads its shares of the input with one client.

Bytewax's partitions are a fixed number of shares of the input, so that topics may get partitions
while the job runs, and between two runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from threading import Lock, get_ident
from typing import TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import IsolationLevel

from connectors.kafka.epochs import EpochTiming
from connectors.kafka.input_reader import InputReader
from connectors.kafka.input_watch import InputWatch
from connectors.kafka.partition_reading import SHARES, share_of
from connectors.kafka.source_settings import SourceSettings
from connectors.kafka.starting_offsets import InputOffsets, RunEnds, ends_of
from connectors.shutdown import (
    StopQuestions,
    exit_on_user_error,
    run_at_exit,
    started,
    stop_requested,
)
from operators.batches import Batch, InputPartition
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer

# A share that does not read wakes up this often, to end with the others.
_WAKE_SECONDS = 0.1
_MAX_ENDS_SECONDS = 5.0
# A client that has given all it had, although more waits at the brokers, soon has more.
_BEHIND_SECONDS = 0.001
# Bytewax asks all shares of a worker when to wake up, and ends their epoch, right after reading.
_AFTER_READING_SECONDS = 0.005
_OFFSETS_TRAIL = (
    "the brokers do not answer: the group's offsets trail the job's progress; lag tools see that, "
    "and a start of an at_least_once job without recovery"
)

Snapshot: TypeAlias = "dict[InputPartition, int]"
"""Input partition → next offset, of one share."""


class _ShareReader:
    """What the shares of a worker have in common: the first of them reads for all."""

    def __init__(self, reader: InputReader, ends: RunEnds, epochs: EpochTiming) -> None:
        self.reader = reader
        self.ended = False
        self._epochs = epochs
        self._began_at = self._read_at = 0.0
        self._ends = ends
        self._finished: list[Snapshot] = []

    def read(self) -> Sequence[Batch]:
        """Read batches."""
        self._began_at = time.time()
        self._epochs.reads(self._began_at)
        batches = self.reader.read()
        self._read_at = time.time()
        return batches

    def wake(self, now: float, seconds: float) -> datetime | None:
        """Return when Bytewax is to wake up a share; None: at once.  now: epoch seconds.

        seconds: how soon, unless an epoch is to end later.
        """
        wake = self._epochs.wake(self._woke(now), now + seconds)
        return datetime.fromtimestamp(wake, timezone.utc) if wake > now else None

    def _woke(self, now: float) -> float:
        """Return when the worker woke up; it may have read since."""
        return self._began_at if now - self._read_at < _AFTER_READING_SECONDS else now

    def end(self) -> None:
        """Note that all was read that this run reads."""
        self.ended = True
        self._ends.tell_left(self.reader.positions())

    def end_epoch(self) -> None:
        """Commit to the group the offsets that are certainly finished.

        When an epoch ends, all outputs of the epoch before it are written.  So the offsets at
        the end of that one are committed (rule 2 of connectors/exactly_once), for lag tools.
        """
        self._epochs.ended(self._woke(time.time()))
        self._finished.append(self.reader.positions())
        if len(self._finished) > 1:
            self.reader.commit(self._finished.pop(0), wait=False)
        self.reader.report_lag()

    def finish(self) -> None:
        """Run at exit: all workers are done then, unless an exception ended the dataflow."""
        if not hasattr(sys, "last_value"):
            self.reader.commit(self.reader.positions(), wait=True)
        self.reader.close()


class _Share(StatefulSourcePartition[Batch, Snapshot]):
    """One share of the input.

    share: its number.  leads: whether it reads for all shares of its worker.
    """

    def __init__(
        self,
        share: int,
        shared: _ShareReader,
        settings: SourceSettings,
        observer: Observer,
        *,
        leads: bool,
    ) -> None:
        self._share = share
        self._shared = shared
        self._settings = settings
        self._observer = observer
        self._leads = leads
        self._questions = StopQuestions()
        if leads:
            observer.liveness.source_opened()

    @exit_on_user_error
    def next_batch(self) -> Sequence[Batch]:
        """Return a batch if there is data, a heartbeat now and then, else nothing."""
        shared = self._shared
        if stop_requested.is_set() and self._leads and not shared.ended:
            shared.ended = True
            return (Batch.stops(),)  # for the other processes
        if shared.ended or stop_requested.is_set():
            raise StopIteration
        if not self._leads:
            return ()
        self._observer.liveness.note_activity()
        batches = shared.read()
        if not batches and shared.reader.ended:
            shared.end()
            raise StopIteration
        return (*batches, Batch.asking()) if self._questions.due() else batches

    def next_awake(self) -> datetime | None:
        """Read again at once while many records are waiting, else after a short pause.

        A batch has a fixed cost, however few records it has, and so has a wake-up: so all
        workers wake up together.
        """
        if self._shared.ended or stop_requested.is_set():
            return None
        shared, now = self._shared, time.time()
        if not self._leads:
            return shared.wake(now, _WAKE_SECONDS)
        if shared.reader.more_waiting:
            return shared.wake(now, 0.0)
        if shared.reader.is_behind:
            return shared.wake(now, _BEHIND_SECONDS)
        return shared.wake(now, self._settings.reading.wait(now))

    @exit_on_user_error
    def snapshot(self) -> Snapshot:
        """Return the next offsets of the share's partitions."""
        if self._leads:
            self._shared.end_epoch()
            self._observer.liveness.epoch_ended()
        return self._shared.reader.positions(self._share)

    def close(self) -> None:
        """Commit the last offsets when the whole run has ended without an error."""
        if self._leads:
            self._observer.liveness.source_ended()
            run_at_exit(self._shared.finish, _OFFSETS_TRAIL)


class KafkaSource(FixedPartitionedSource[Batch, Snapshot]):
    """Reads topics in batches; snapshots hold the next offsets of each share.

    Promises what `InputReader` promises, and reads partitions that are added while it runs.
    Does not promise an order between partitions.
    """

    def __init__(
        self,
        settings: SourceSettings,
        offsets: InputOffsets,
        *,
        clock: Callable[[], float] = time.time,
        observer: Observer | None = None,
    ) -> None:
        """settings: where to read from.  offsets: where to begin.

        clock: wall clock, epoch seconds.  observer: receives progress and lag.
        """
        self._settings = settings
        self._offsets = offsets
        self._observer = observer or Observer(Metrics())
        self._clock = clock
        self._lock = Lock()
        self._watch: InputWatch | None = None
        self._ends = RunEnds()
        self._readers: dict[int, _ShareReader] = {}

    def list_parts(self) -> list[str]:
        """Name the shares by their numbers."""
        started.set()
        return [f"share-{share:02d}" for share in range(SHARES)]

    @exit_on_user_error
    def build_part(self, step_id: str, for_part: str, resume_state: Snapshot | None) -> _Share:
        """Begin at the snapshot's offsets, or where `InputOffsets` says."""
        del step_id
        share = int(for_part.rpartition("-")[2])
        with self._lock:
            watch = self._opened_watch()
            # All shares of a worker are built, and read, on its thread.
            shared = self._readers.get(get_ident())
            leads = shared is None
            if shared is None:
                reader = InputReader(
                    *(self._settings, watch, self._ends.stops, self._observer, self._clock)
                )
                epochs = EpochTiming(self._settings.epoch_seconds)
                shared = self._readers[get_ident()] = _ShareReader(reader, self._ends, epochs)
        starts = {
            partition: offset
            for partition, offset in self._offsets.starts.items()
            if share_of(partition) == share
        }
        if self._offsets.use_snapshots:
            starts |= resume_state or {}
        shared.reader.take(share, starts)
        return _Share(share, shared, self._settings, self._observer, leads=leads)

    def _opened_watch(self) -> InputWatch:
        """Start to watch the input, once in a process."""
        if self._watch is None:
            settings, partitions = self._settings, self._offsets.partitions
            if settings.stop_at_end:
                self._ends = RunEnds.ask(settings.access, partitions)
            seconds = min(settings.idle_seconds / 4, _MAX_ENDS_SECONDS)
            self._watch = InputWatch(settings.access, settings.topics, partitions, seconds)
            level = IsolationLevel.READ_COMMITTED
            self._watch.history |= ends_of(settings.access, self._offsets.new, level)
            self._watch.start()
        return self._watch
