"""Kafka as a sink, exactly once: each lane has a partition, a producer and a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_opener import LaneOpener, SinkSnapshot
from connectors.exactly_once.lane_transactions import WriterSettings
from connectors.exactly_once.lane_writer import LaneWriter
from connectors.lane_sink import LanePartition, LaneSink
from connectors.shutdown import exit_on_user_error
from operators.encode.encoder import Output
from operators.lanes.placement import lane_names
from operators.monitoring.observer import Observer


@dataclass(frozen=True, slots=True)
class TransactionalSinkSettings:
    """How to write.

    lanes: their number.  own: those whose state is in this process.
    """

    writer: WriterSettings
    lanes: int
    own: Sequence[int]


class _TransactionalPartition(LanePartition[SinkSnapshot | None]):
    """One lane.  Its snapshot says where its changelog ended, after which verdict batch."""

    def __init__(
        self, sink: TransactionalKafkaSink, lane: int, snapshot: SinkSnapshot | None
    ) -> None:
        super().__init__(lane)
        self._sink = sink
        self._writer: LaneWriter | None = None
        self._snapshot = snapshot

    @exit_on_user_error
    def write_batch(self, values: list[Output]) -> None:
        """Hand whole batches to the lane's writer (rule 1), which the first call opens."""
        if self._writer is None:
            self._writer = self._sink.open_writer(self._lane)
        for batch in self._whole_batches(values):
            self._writer.write(batch)

    @exit_on_user_error
    def snapshot(self) -> SinkSnapshot | None:
        """Rule 2: commit everything, since no snapshot may be ahead of a lane in Kafka."""
        if self._writer is None:
            return self._snapshot
        self._check_whole()
        self._sink.request_all()
        self._writer.wait()
        hit("in_snapshot")
        # The end may be one before the last commit, never after it.
        before = 0 if self._snapshot is None else self._snapshot.end
        end = self._sink.changelog_end(self._lane, before)
        if self._snapshot is None or end != before:
            self._writer.mark(end)
        self._snapshot = SinkSnapshot(end, self._writer.generation, self._writer.sequence)
        return self._snapshot

    @exit_on_user_error
    def close(self) -> None:
        """Commit all batches."""
        if self._writer is not None:
            self._sink.request_all()
            self._writer.close()


class TransactionalKafkaSink(LaneSink[SinkSnapshot | None]):
    """Writes the outputs of lanes exactly once (docs/adr/0002).

    Promises: a `read_committed` reader sees each verdict batch whole and once, through any
    crash.  The rules of the protocol are in connectors/exactly_once/__init__.py.
    """

    def __init__(
        self,
        settings: TransactionalSinkSettings,
        opener: LaneOpener,
        changelog: Changelog,
        observer: Observer,
    ) -> None:
        """opener: opens the lanes of this process, also for the step that decides."""
        super().__init__(settings.lanes)
        self._settings = settings
        self._opener = opener
        self._changelog = changelog
        self._observer = observer
        self._writers: dict[int, LaneWriter] = {}
        self._ends: dict[int, int] = {}

    def list_parts(self) -> list[str]:
        """Name the lanes whose state is in this process: Bytewax makes their partitions here.

        The cluster is complete by now, so the producers of the lanes are opened, all at once.
        """
        names = lane_names(self._settings.lanes)
        for lane in self._settings.own:
            self._opener.prepare(lane)
        return [names[lane] for lane in self._settings.own]

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: SinkSnapshot | None
    ) -> _TransactionalPartition:
        """Begin with a lane of this process."""
        del step_id
        lane = self.part_fn(for_part)
        self._opener.resume(lane, resume_state)
        return _TransactionalPartition(self, lane, resume_state)

    def open_writer(self, lane: int) -> LaneWriter:
        """Make the writer of a lane, on its first batch."""
        opened = self._opener.opened(lane)
        writer = LaneWriter(opened, self._changelog, self._settings.writer, self._observer)
        self._writers[lane] = writer
        return writer

    def request_all(self) -> None:
        """Request a commit from all lanes of this process, so that they commit side by side."""
        for writer in list(self._writers.values()):
            writer.request()

    def changelog_end(self, lane: int, before: int) -> int:
        """Where a lane's changelog ended a moment ago; `before`, if the brokers do not answer.

        The first lane that ends an epoch asks once for all lanes: nothing is decided meanwhile,
        for milliseconds, or for seconds without an answer.  The other lanes may get the end
        before their last transaction: a restart then reads a little more than needed.
        """
        if lane not in self._ends:
            lanes = list(self._writers)
            self._ends = dict.fromkeys(lanes, 0) | self._changelog.last_offsets(lanes)
        return max(before, self._ends.pop(lane, before))
