"""The real operators without Bytewax: join, decode, cut, decide; driven by the strategies' streams.

Everything that must not change a verdict can be set: where a partition is cut into batches, how
many of these are joined, how many lanes there are, whether slices travel pickled, where lanes are
restarted from a snapshot and how far the source then goes back.
"""

import copy
import math
import pickle
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from typing import TypeAlias

import numpy as np

from operators.batches import Batch, Records, Slice, Span
from operators.changes import NO_SEQUENCE, Summary
from operators.coalesce import coalesce
from operators.columns.byte_column import ByteColumn
from operators.columns.header_table import Headers
from operators.columns.references import NO_REFERENCE, partition_and_offset
from operators.decode.decoder import Decoder
from operators.decode.events import EventSpec
from operators.keys.paths import parse_keys, resolve_shard
from operators.lanes.cut import cut
from operators.lanes.lane import Lane, LaneSpec
from operators.lanes.snapshot import LaneSnapshot
from operators.similarity.near_duplicates import SIMILAR, NearSpec
from operators.verdicts import DUPLICATE, INVALID, LATE, VERDICTS, VerdictBatch
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore
from operators.windows.tumbling import TumblingStore
from tests.model import Model, Record, Settings, Verdict
from tests.strategies import Step, Stream

Place: TypeAlias = tuple[int, int]
Verdicts: TypeAlias = dict[Place, Verdict]


def event_spec(settings: Settings, lanes: int) -> EventSpec:
    """How the operators read records with the model's settings."""
    shard = settings.shard_by
    if shard is None and settings.similarity is not None:
        shard = ()
    return EventSpec(
        combinations=parse_keys(settings.keys),
        shard=resolve_shard(
            parse_keys(settings.keys),
            settings.content_ignore,
            (shard,) if shard == "@key" else shard,
        ),
        time=settings.time,
        schema=settings.schema,
        content_ignore=frozenset(settings.content_ignore),
        text_fields=() if settings.similarity is None else settings.similarity_fields,
        max_future_seconds=settings.max_future,
        lanes=lanes,
    )


def new_store(settings: Settings) -> KeyStore:
    """Make an empty store of the window kind."""
    seconds = settings.window_seconds
    if settings.window == "sliding":
        return SlidingStore(seconds)
    if settings.window == "session":
        return SessionStore(seconds)
    return TumblingStore(math.inf if settings.window == "forever" else seconds)


def lane_spec(
    settings: Settings, make_store: Callable[[Settings], KeyStore] = new_store
) -> LaneSpec:
    """How lanes judge with the model's settings."""
    return LaneSpec(
        partial(make_store, settings),
        settings.lateness,
        30.0,
        {"keys": "the same"},
        near=near_spec(settings),
    )


def near_spec(settings: Settings) -> NearSpec | None:
    """How lanes look for near duplicates with the model's settings."""
    if settings.similarity is None:
        return None
    shard = event_spec(settings, 1).shard
    return NearSpec(
        threshold=settings.similarity,
        metric=settings.similarity_metric,
        shingle=settings.shingle,
        seconds=settings.similarity_seconds,
        max_records=1_000_000,
        one_shard=not shard.fields and not shard.content,
    )


def records_of(records: Sequence[Record]) -> Records:
    """Columns of the records of one partition; None where no record has a value."""

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
    """Ranges of steps that make a batch: of one partition, one clock and one idle set.

    cuts: steps with which a batch begins, besides those where it must.
    """
    begin = first
    for index in range(first + 1, len(steps) + 1):
        if index < len(steps) and index not in cuts:
            one, other = steps[index - 1], steps[index]
            if (one.record.partition, one.now, one.idle) == (
                other.record.partition,
                other.now,
                other.idle,
            ):
                continue
        yield begin, index
        begin = index


def verdicts_of(batch: VerdictBatch, names: Sequence[str]) -> Iterable[tuple[Place, Verdict]]:
    """A verdict batch as the model's verdicts."""
    partitions = batch.slice.spans.partitions.tolist()
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
    """Lanes that are fed batch after batch; collects their verdicts.

    joined: how many batches are joined, one number after another, and again from the first.

    Asserts that no record is answered twice, except that after a restart what was
    decided since the snapshot, or since the last commit, is decided again, and to the same end.
    """

    settings: Settings
    partitions: int
    lanes: int = 3
    pickled: bool = False
    make_store: Callable[[Settings], KeyStore] = new_store
    joined: Sequence[int] = (1,)
    stats_seconds: float | None = None
    verdicts: Verdicts = field(default_factory=dict)
    batches: list[VerdictBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the lanes with nothing in them."""
        spec = event_spec(self.settings, self.lanes)
        self.names = [combination.name for combination in spec.combinations]
        self.names += [] if self.settings.similarity is None else [SIMILAR]
        self.decoder = Decoder(spec)
        self.judges = [self._open(lane) for lane in range(self.lanes)]
        self.positions = dict.fromkeys(range(self.partitions), 0)
        self.idle: set[int] = set()
        self._again: Verdicts = {}
        self._waiting: list[Batch] = []
        self._summaries: list[Summary | None] = []
        # As Kafka's source gives them, and as a file's; two in a row are joined as columns.
        self._in_columns = cycle((True, True, False))
        self._wanted = cycle(self.joined)
        self._most = next(self._wanted)

    def _open(self, lane: int) -> Lane:
        spec = lane_spec(self.settings, self.make_store)
        return Lane(lane, replace(spec, stats_seconds=self.stats_seconds))

    @property
    def keys_held(self) -> int:
        """Keys in all lanes."""
        return sum(len(judge.store) for judge in self.judges)

    def feed(self, steps: Sequence[Step]) -> None:
        """Decide steps that make one batch, after word of partitions that turned idle or awake."""
        own, now, idle = (
            steps[0].record.partition,
            steps[0].now,
            steps[0].idle - {steps[0].record.partition},
        )
        # Those that wake come first: with more partitions idle the watermark would run ahead.
        for partition in sorted(self.idle - idle):
            self.heartbeat(partition, now, idle=False)
        for partition in sorted(idle - self.idle):
            self.heartbeat(partition, now, idle=True)
        records = records_of([step.record for step in steps])
        if next(self._in_columns):
            records.values = ByteColumn.of(records.values)
            records.keys = None if records.keys is None else ByteColumn.of(records.keys)
        end = int(records.offsets[-1]) + 1
        span = Span(own, self.partitions, self.positions[own], end, now)
        self.positions[own] = end
        self._add(Batch.of(span, records))

    def heartbeat(self, partition: int, now: float, *, idle: bool) -> None:
        """Tell the lanes that a partition is idle or awake, and has nothing new."""
        (self.idle.add if idle else self.idle.discard)(partition)
        at = self.positions[partition]
        span = Span(partition, self.partitions, at, at, now, idle=idle)
        self._add(Batch.of(span, records_of([])))

    def _add(self, batch: Batch) -> None:
        self._waiting.append(batch)
        if len(self._waiting) >= self._most:
            self.flush()
            self._most = next(self._wanted)

    def flush(self) -> None:
        """Decide what waits to be joined with more."""
        waiting, self._waiting = self._waiting, []
        for batch in coalesce(waiting, self.lanes):
            self._decide(batch)

    def _decide(self, batch: Batch) -> None:
        for slice_ in cut(self.decoder(batch), self.lanes):
            travelled: Slice = pickle.loads(pickle.dumps(slice_)) if self.pickled else slice_  # noqa: S301 - our own
            answer = self.judges[slice_.lane].decide(travelled)
            self.batches.append(answer)
            for place, verdict in verdicts_of(answer, self.names):
                if place in self._again:
                    assert verdict == self._again.pop(place), f"{place} decided otherwise"
                else:
                    assert place not in self.verdicts, f"{place} answered twice"
                self.verdicts[place] = verdict

    @property
    def undecided(self) -> set[Place]:
        """Records that a restart lost the verdicts of, and that did not come again yet."""
        return set(self._again)

    def _of_batches(self) -> list[Summary | None]:
        batches = self.batches
        return [one for batch in batches for one in (*batch.recovered, batch.change.summary)]

    @property
    def statistics(self) -> Counter[tuple[int, str]]:
        """(window, verdict) → records, of all event types; each record once."""
        found: Counter[tuple[int, str]] = Counter()
        held = [one for judge in self.judges for one in judge._recovered]
        total = Summary.add_up([*self._summaries, *self._of_batches(), *held])
        for window, types in (total.windows if total is not None else {}).items():
            for counts in types.values():
                found.update(
                    {(window, kind): n for kind, n in zip(VERDICTS, counts, strict=True) if n}
                )
        return found

    def snapshot(self) -> list[bytes]:
        """What Bytewax would write at the end of an epoch."""
        self.flush()
        self._summaries += self._of_batches()
        self.batches.clear()
        return [pickle.dumps(copy.deepcopy(judge)) for judge in self.judges]

    def restart(
        self, snapshots: Sequence[bytes], positions: dict[int, int], committed: Sequence[int] = ()
    ) -> None:
        """Die, and begin again from the last snapshot with the source at earlier positions.

        committed: for each lane, how many of its batches since the snapshot are in its
        changelog (modulo as many as there are); none without a changelog.
        """
        self._again = {}
        self._waiting.clear()
        for lane, stored in enumerate(snapshots):
            snapshot = pickle.loads(stored)  # noqa: S301 - our own
            assert isinstance(snapshot, LaneSnapshot)
            self.judges[lane] = self._open(lane)
            self.judges[lane].restore(snapshot)
            batches = [
                one
                for one in self.batches
                if one.lane == lane and one.change.progress.sequence != NO_SEQUENCE
            ]
            kept = committed[lane] % (len(batches) + 1) if committed else 0
            if kept:
                changes = [batch.change for batch in batches[:kept]]
                self.judges[lane].apply(changes)
                self.judges[lane].recover(change.summary for change in changes)
            for batch in batches[kept:]:
                self._again |= dict(verdicts_of(batch, self.names))
        self.batches.clear()
        self.positions = dict(positions)
        self.idle = set()


@dataclass(frozen=True)
class Restart:
    """rewind_to ≤ snapshot_at ≤ crash_at: numbers of steps.

    recut: where batches begin afterwards.  committed: see `Pipeline.restart`.
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
    joined: Sequence[int] = (1,),
) -> Verdicts:
    """Verdicts of the operators on a stream; each record has one when this returns."""
    return run_pipeline(
        Pipeline(stream.settings, len(stream.partitions), lanes, pickled, make_store, joined),
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
    """Feed a new pipeline a stream; it has answered each record when this returns."""
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
    """How far each partition has been read before a step."""
    positions = dict.fromkeys(stream.partitions, 0)
    for step in stream.steps[:index]:
        positions[step.record.partition] = step.record.offset + 1
    return positions


def place_of(step: Step) -> Place:
    """Partition and offset of a step's record."""
    return step.record.partition, step.record.offset


def model_verdicts(stream: Stream) -> Verdicts:
    """Verdicts of the model on a stream."""
    model = Model(stream.settings, stream.partitions)
    return {place_of(step): model.decide(step.record, step.now, step.idle) for step in stream.steps}
