"""The real operators without Bytewax: coalesce, decode, cut, decide; fed with strategies' streams.

A test can set everything that must not change a verdict: where a partition is cut into batches,
how many batches are coalesced, the number of lanes, whether slices are pickled, where lanes restart
from a snapshot, and how far the source then goes back.
"""

import copy
import pickle
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import TypeAlias

import numpy as np

from operators.batches import Batch, Records, Slice
from operators.changes import NO_SEQUENCE, Summary
from operators.coalesce import coalesce
from operators.columns.byte_column import ByteColumn
from operators.columns.header_table import Headers
from operators.columns.references import NO_REFERENCE, partition_and_offset
from operators.decode.decoder import Decoder
from operators.lanes.cut import cut
from operators.lanes.lane import Lane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.similarity.near_duplicates import SIMILAR
from operators.verdicts import DUPLICATE, INVALID, LATE, VERDICTS, VerdictBatch
from operators.windows.store import KeyStore
from tests.builders import inputs, span_of
from tests.model import Model, Record, Settings, Verdict
from tests.model_specs import event_spec, lane_spec, new_store
from tests.strategies import Step, Stream

Place: TypeAlias = tuple[int, int]
Verdicts: TypeAlias = dict[Place, Verdict]


def records_of(records: Sequence[Record]) -> Records:
    """Make the columns of one partition's records; None if no record has a value in one."""

    def headers_of(record: Record) -> Headers:
        return record.headers

    return Records(
        offsets=np.array([record.offset for record in records], np.int64),
        values=[record.value for record in records],
        keys=[r.key for r in records] if any(r.key is not None for r in records) else None,
        headers=[headers_of(r) for r in records] if any(r.headers for r in records) else None,
        timestamps=np.array([r.timestamp_ms or 0 for r in records], np.int64)
        if any(r.timestamp_ms is not None for r in records)
        else None,
    )


def batches_of(
    steps: Sequence[Step], cuts: Collection[int], first: int = 0
) -> Iterable[tuple[int, int]]:
    """Yield ranges of steps that make a batch: the same partition, clock and idle partitions.

    cuts: further steps at which a batch begins.
    """
    begin = first
    for index in range(first + 1, len(steps) + 1):
        if index < len(steps) and index not in cuts:
            before, step = steps[index - 1], steps[index]
            if (before.record.partition, before.now, before.idle) == (
                step.record.partition,
                step.now,
                step.idle,
            ):
                continue
        yield begin, index
        begin = index


def verdicts_of(batch: VerdictBatch, names: Sequence[str]) -> Iterable[tuple[Place, Verdict]]:
    """Yield the verdicts of a verdict batch, as the model has them."""
    spans = batch.slice.spans
    partitions = spans.of_rows([span.partition.partition for span in spans.spans]).tolist()
    offsets = batch.slice.offsets.tolist()
    rows = zip(batch.verdicts.tolist(), partitions, offsets, strict=True)
    for row, (code, partition, offset) in enumerate(rows):
        matched = original = reason = late_by = similarity = None
        if code == DUPLICATE:
            matched = names[int(batch.matches.combination[row])]
            reference = int(batch.matches.originals[row])
            original = None if reference == NO_REFERENCE else partition_and_offset(reference)
            if matched == SIMILAR and batch.similarity is not None:
                similarity = float(batch.similarity[row])
        elif code == LATE:
            late_by = float(batch.behind[row])
        elif code == INVALID:
            reason = batch.slice.decided.invalid[row][0]
        kind = VERDICTS[code]
        yield (
            (partition, offset),
            Verdict(kind, reason, matched, original, similarity, late_by),  # type: ignore[arg-type]
        )


@dataclass
class Pipeline:
    """Feeds lanes batch after batch, and collects their verdicts.

    coalesced: how many batches are coalesced, group after group; repeats from the first number.

    Asserts that no record is answered twice.  After a restart, what was decided since the snapshot
    or the last commit is decided again: it asserts that the verdicts are the same.
    """

    settings: Settings
    partitions: int
    lanes: int = 3
    pickled: bool = False
    make_store: Callable[[Settings], KeyStore] = new_store
    coalesced: Sequence[int] = (1,)
    stats_seconds: float | None = None
    verdicts: Verdicts = field(default_factory=dict)
    batches: list[VerdictBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open empty lanes."""
        spec = event_spec(self.settings, self.lanes)
        self.names = [combination.name for combination in spec.combinations]
        self.names += [] if self.settings.similarity is None else [SIMILAR]
        self.decoder = Decoder(spec)
        self.opened = [self._open(lane) for lane in range(self.lanes)]
        self.positions = dict.fromkeys(range(self.partitions), 0)
        self.idle: set[int] = set()
        self._again: Verdicts = {}
        self._waiting: list[Batch] = []
        self._summaries: list[Summary | None] = []
        # Whether a batch has byte columns, as Kafka's source makes them, or lists, as a file's.
        self._in_columns = cycle((True, True, False))
        self._group_sizes = cycle(self.coalesced)
        self._group_size = next(self._group_sizes)

    def _open(self, index: int) -> Lane:
        spec = lane_spec(self.settings, self.make_store)
        return Lane(index, replace(spec, stats_seconds=self.stats_seconds))

    @property
    def keys_held(self) -> int:
        """Keys in all lanes."""
        return sum(len(lane.store) for lane in self.opened)

    def feed(self, steps: Sequence[Step]) -> None:
        """Decide the steps of one batch; heartbeats of partitions that turn idle or awake first."""
        own, now, idle = (
            steps[0].record.partition,
            steps[0].now,
            steps[0].idle - {steps[0].record.partition},
        )
        # Waking partitions come first: with more idle partitions the watermark would run ahead.
        for partition in sorted(self.idle - idle):
            self.heartbeat(partition, now, idle=False)
        for partition in sorted(idle - self.idle):
            self.heartbeat(partition, now, idle=True)
        records = records_of([step.record for step in steps])
        if next(self._in_columns):
            records.values = ByteColumn.of(records.values)
            records.keys = None if records.keys is None else ByteColumn.of(records.keys)
        end = int(records.offsets[-1]) + 1
        span = span_of(own, self.positions[own], end, now)
        self.positions[own] = end
        self._add(Batch.of(span, records, inputs(self.partitions)))

    def heartbeat(self, partition: int, now: float, *, idle: bool) -> None:
        """Tell the lanes that a partition is idle or awake, without records."""
        (self.idle.add if idle else self.idle.discard)(partition)
        at = self.positions[partition]
        span = span_of(partition, at, at, now, idle=idle)
        self._add(Batch.of(span, records_of([]), inputs(self.partitions)))

    def _add(self, batch: Batch) -> None:
        self._waiting.append(batch)
        if len(self._waiting) >= self._group_size:
            self.flush()
            self._group_size = next(self._group_sizes)

    def flush(self) -> None:
        """Decide the batches that wait to be coalesced with more."""
        waiting, self._waiting = self._waiting, []
        for batch in coalesce(waiting, self.lanes):
            self._decide(batch)

    def _decide(self, batch: Batch) -> None:
        for slice_ in cut(self.decoder(batch), self.lanes):
            travelled: Slice = pickle.loads(pickle.dumps(slice_)) if self.pickled else slice_  # noqa: S301 - our own
            answer = self.opened[slice_.lane].decide(travelled)
            self.batches.append(answer)
            for place, verdict in verdicts_of(answer, self.names):
                if place in self._again:
                    assert verdict == self._again.pop(place), f"{place} has another verdict now"
                else:
                    assert place not in self.verdicts, f"{place} answered twice"
                self.verdicts[place] = verdict

    @property
    def undecided(self) -> set[Place]:
        """Records whose verdicts a restart lost, and that have not come again yet."""
        return set(self._again)

    def _of_batches(self) -> list[Summary | None]:
        batches = self.batches
        return [part for batch in batches for part in (*batch.recovered, batch.change.summary)]

    @property
    def statistics(self) -> Counter[tuple[int, str]]:
        """(window, verdict) → records of all event types; each record counts once."""
        total_counts: Counter[tuple[int, str]] = Counter()
        held = [summary for lane in self.opened for summary in lane._recovered]
        total = Summary.add_up([*self._summaries, *self._of_batches(), *held])
        for window, types in (total.windows if total is not None else {}).items():
            for counts in types.values():
                total_counts.update(
                    {(window, kind): n for kind, n in zip(VERDICTS, counts, strict=True) if n}
                )
        return total_counts

    def snapshot(self) -> list[bytes]:
        """Make the snapshots that Bytewax would write at the end of an epoch."""
        self.flush()
        self._summaries += self._of_batches()
        self.batches.clear()
        return [pickle.dumps(copy.deepcopy(lane)) for lane in self.opened]

    def restart(
        self, snapshots: Sequence[bytes], positions: dict[int, int], committed: Sequence[int] = ()
    ) -> None:
        """Die, and start again from the last snapshot with the source at earlier positions.

        committed: for each lane, how many of its batches since the snapshot are in its changelog
        (modulo their number, plus one); empty without a changelog.
        """
        self._again = {}
        self._waiting.clear()
        for index, stored in enumerate(snapshots):
            snapshot = pickle.loads(stored)  # noqa: S301 - our own
            assert isinstance(snapshot, LaneSnapshot)
            lane = self.opened[index] = self._open(index)
            lane.restore(snapshot)
            batches = [
                batch
                for batch in self.batches
                if batch.lane == index and batch.change.progress.sequence != NO_SEQUENCE
            ]
            kept = committed[index] % (len(batches) + 1) if committed else 0
            if kept:
                changes = [batch.change for batch in batches[:kept]]
                lane.apply(changes)
                lane.recover(change.summary for change in changes)
            for batch in batches[kept:]:
                self._again |= dict(verdicts_of(batch, self.names))
        self.batches.clear()
        self.positions = dict(positions)
        self.idle = set()


@dataclass(frozen=True)
class Restart:
    """When lanes restart: rewind_to ≤ snapshot_at ≤ crash_at are indexes of steps.

    recut: steps that begin a batch after the restart.  committed: see `Pipeline.restart`.
    """

    snapshot_at: int
    crash_at: int
    rewind_to: int
    recut: frozenset[int] = frozenset()
    committed: tuple[int, ...] = ()


def run(
    stream: Stream,
    *,
    lanes: int = 3,
    cuts: Collection[int] = (),
    restart: Restart | None = None,
    pickled: bool = False,
    make_store: Callable[[Settings], KeyStore] = new_store,
    coalesced: Sequence[int] = (1,),
) -> Verdicts:
    """Return the operators' verdicts on a stream, one for each record."""
    return run_pipeline(
        Pipeline(stream.settings, len(stream.partitions), lanes, pickled, make_store, coalesced),
        stream,
        cuts=cuts,
        restart=restart,
    ).verdicts


def run_pipeline(
    pipeline: Pipeline,
    stream: Stream,
    *,
    cuts: Collection[int] = (),
    restart: Restart | None = None,
) -> Pipeline:
    """Feed a stream to a new pipeline; it has answered every record on return."""
    steps, first = stream.steps, 0
    if restart is not None:
        borders = {*cuts, restart.snapshot_at, restart.crash_at}
        before = stream.steps[: restart.crash_at]
        snapshots, first = pipeline.snapshot(), restart.rewind_to
        for begin, end in batches_of(before, borders):
            if begin == restart.snapshot_at:
                snapshots = pipeline.snapshot()
            pipeline.feed(before[begin:end])
        if restart.snapshot_at == restart.crash_at:
            snapshots = pipeline.snapshot()
        pipeline.restart(snapshots, positions_at(stream, first), restart.committed)
        cuts = restart.recut
    for begin, end in batches_of(steps, cuts, first) if first < len(steps) else ():
        pipeline.feed(steps[begin:end])
    pipeline.flush()
    assert not pipeline.undecided
    assert pipeline.verdicts.keys() == {place_of(step) for step in steps}
    return pipeline


def positions_at(stream: Stream, index: int) -> dict[int, int]:
    """Return the next offset of each partition before a step."""
    positions = dict.fromkeys(stream.partitions, 0)
    for step in stream.steps[:index]:
        positions[step.record.partition] = step.record.offset + 1
    return positions


def place_of(step: Step) -> Place:
    """Return the partition and offset of a step's record."""
    return step.record.partition, step.record.offset


def model_verdicts(stream: Stream) -> Verdicts:
    """Return the model's verdicts on a stream."""
    model = Model(stream.settings, stream.partitions)
    return {place_of(step): model.decide(step.record, step.now, step.idle) for step in stream.steps}
