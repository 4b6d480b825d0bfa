"""Kafka as a sink, exactly once: one partition, one producer, one thread for each lane."""

from __future__ import annotations

from dataclasses import dataclass

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_opener import LaneOpener, SinkSnapshot
from connectors.exactly_once.lane_writer import LaneWriter, WriterSettings
from connectors.shutdown import exit_on_user_error
from operators.encode.encoder import Output
from operators.encode.reassemble import BatchReassembler
from operators.errors import StateError
from operators.lanes.placement import lane_names
from operators.monitoring.observer import Observer


@dataclass(frozen=True, slots=True)
class TransactionalSinkSettings:
    """What lanes are written with.

    together: whether the state and the sink of every lane meet on one worker, so
    that a producer can be opened before the first record.
    """

    writer: WriterSettings
    lanes: int
    together: bool


class _TransactionalPartition(StatefulSinkPartition[Output, SinkSnapshot | None]):
    """One lane; its snapshot is where its changelog ended, and after which verdict batch."""

    def __init__(
        self, sink: TransactionalKafkaSink, lane: int, resume: SinkSnapshot | None
    ) -> None:
        self._sink = sink
        self._lane = lane
        self._assembler = BatchReassembler()
        self._writer: LaneWriter | None = None
        self._resume = resume

    @exit_on_user_error
    def write_batch(self, values: list[Output]) -> None:
        """Hand whole batches to the lane's writer, opened on the first."""
        if self._writer is None:
            self._writer = self._sink.open_writer(self._lane)
        for output in values:
            for batch in self._assembler.add(output):
                self._writer.write(batch)

    @exit_on_user_error
    def snapshot(self) -> SinkSnapshot | None:
        """Commit everything: no snapshot may be ahead of a lane in Kafka (rule 2)."""
        if self._writer is None:
            return self._resume
        if len(self._assembler):
            msg = f"lane {self._lane}: an epoch ended with a batch that is not whole"
            raise StateError(msg)
        self._sink.request_all()
        self._writer.wait()
        hit("in_snapshot")
        # It may lie before what was just committed, never behind.
        end = self._sink.changelog_end(self._lane, 0 if self._resume is None else self._resume.end)
        if self._resume is None or end != self._resume.end:
            self._writer.mark(end)
        self._resume = SinkSnapshot(end, self._writer.generation, self._writer.number)
        return self._resume

    @exit_on_user_error
    def close(self) -> None:
        """Commit what is left."""
        if self._writer is not None:
            self._sink.request_all()
            self._writer.close()


class TransactionalKafkaSink(FixedPartitionedSink[Output, SinkSnapshot | None]):
    """Writes the outputs of lanes exactly once (docs/adr/0002).

    Promises: a `read_committed` reader sees each verdict batch whole and once,
    through any crash.  Its protocol is in LaneWriter and OpenedLanes.
    """

    def __init__(
        self,
        settings: TransactionalSinkSettings,
        opened: LaneOpener,
        changelog: Changelog,
        observer: Observer,
    ) -> None:
        """opened: the lanes of this process, shared with the step that decides."""
        self._settings = settings
        self._opened = opened
        self._changelog = changelog
        self._observer = observer
        self._writers: dict[int, LaneWriter] = {}
        self._ends: dict[int, int] = {}

    def list_parts(self) -> list[str]:
        """Name the lanes: a lane's outputs are written where its state is."""
        return list(lane_names(self._settings.lanes))

    def part_fn(self, item_key: str) -> int:
        """Index of a lane, from its name."""
        return lane_names(self._settings.lanes).index(item_key)

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: SinkSnapshot | None
    ) -> _TransactionalPartition:
        """Begin to open a lane that is this worker's."""
        del step_id
        lane = self.part_fn(for_part)
        if self._settings.together:
            self._opened.prepare(lane, resume_state)
        return _TransactionalPartition(self, lane, resume_state)

    def open_writer(self, lane: int) -> LaneWriter:
        """Make the writer of a lane, on its first batch: the lane has been opened by then."""
        writer = LaneWriter(
            self._opened.for_writing(lane), self._changelog, self._settings.writer, self._observer
        )
        self._writers[lane] = writer
        return writer

    def request_all(self) -> None:
        """Have all lanes of this process commit side by side."""
        for writer in list(self._writers.values()):
            writer.request()

    def changelog_end(self, lane: int, before: int) -> int:
        """Where a lane's changelog ended a moment ago; before, if the brokers do not answer.

        The first lane to end an epoch asks for all, once: each question takes milliseconds,
        or seconds where there is no answer, in which nothing is decided.  For the others it
        may be the end before their last transaction: a restart then reads a little more
        than it has to.
        """
        if lane not in self._ends:
            lanes = list(self._writers)
            self._ends = dict.fromkeys(lanes, 0) | self._changelog.last_offsets(lanes)
        return max(before, self._ends.pop(lane, before))
