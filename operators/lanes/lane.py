"""One lane: it decides slices of its keys and reports what changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from operators.batches import InputPartition, Slice
from operators.changes import NO_SEQUENCE, Delta, LaneChange, LaneProgress, Summary
from operators.columns.arrays import Codes, Floats
from operators.columns.references import NO_REFERENCE, references
from operators.errors import StateError
from operators.fingerprint import check_fingerprint
from operators.lanes.hot_keys import HotKeys
from operators.lanes.inputs import InputTable
from operators.lanes.lane_snapshot import BYTES_PER_KEY, LaneSnapshot
from operators.lanes.marks import advance
from operators.lanes.positions import Positions
from operators.lanes.spec import LaneSpec
from operators.lanes.watermark import Watermark
from operators.similarity.near_duplicates import UndecidedRecords, decide_near
from operators.statistics.summarize import summarize
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, Matches, VerdictBatch
from operators.windows.store import DurableStore


class Lane:
    """Decides slices one after another; it holds everything that must agree.

    Promises: what `Positions` promises; a slice of many spans gets the same answer as one
    slice for each span, in their order.

    index: of the lane, from 0.  sequence: of the last verdict batch, from 1.  written: generation
    and sequence of the sink's recovery snapshot that belongs to this state; a generation names
    one opening of the lane.  skipped: number of records that were answered before.
    """

    def __init__(self, index: int, spec: LaneSpec) -> None:
        """index: of the lane, from 0."""
        self.index = index
        self.sequence = 0
        self.written = (0, 0)
        self.skipped = 0
        self._generation = self._opened_sequence = 0
        self.inputs = InputTable()
        self.watermark = Watermark()
        self.store = spec.new_store() if spec.open_store is None else spec.open_store(index)
        self.near = None if spec.near is None else spec.near.index()
        self.hot_keys = HotKeys()
        self._spec = spec
        self._durable = self.store if isinstance(self.store, DurableStore) else None
        self._positions = Positions(index)
        self._recovered: list[Summary] = []

    @property
    def progress(self) -> dict[int, int]:
        """Number of an input partition → first offset that is not answered."""
        return self._positions.progress

    def reached(self) -> LaneProgress:
        """Return how far the lane has come."""
        return LaneProgress(
            sequence=self.sequence,
            positions=dict(self.progress),
            max_event_times=dict(self.watermark.max_event_times),
            watermark=self.watermark.value,
            inputs=self.inputs.partitions,
        )

    def decide(self, slice_: Slice) -> VerdictBatch:
        """Give each record of a slice its verdict, except those answered before."""
        before = (dict(self.progress), self.watermark.value, len(self.inputs))
        if slice_.known is not None:
            self._expect(slice_.known)
        partitions = self.inputs.numbers([span.partition for span in slice_.spans.spans])
        slice_, skipped = self._positions.skip_answered(slice_, partitions)
        columns = slice_.decided
        count = len(slice_)
        statistics = self._spec.stats_seconds is not None
        self.skipped += skipped
        marks, statistics_marks = advance(
            *(self.watermark, slice_, partitions, self._spec.idle_seconds), statistics=statistics
        )
        verdicts = np.zeros(count, np.int8)
        behind = np.full(count, np.nan)
        matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
        delta, similarity = Delta.empty(), None
        if count:
            # The difference of two huge doubles may be infinite, which JSON cannot express.
            with np.errstate(over="ignore"):
                # An invalid record has time NaN, which compares as not late.
                late = columns.times < self._spec.horizon(marks)
                behind[late] = np.minimum(marks[late] - columns.times[late], sys.float_info.max)
            verdicts[late] = LATE
            if columns.invalid:
                verdicts[list(columns.invalid)] = INVALID
            delta, similarity = self._match(slice_, partitions, verdicts, matches)
        horizon = self._expire()
        # A heartbeat that changes nothing gets no sequence and is not written.
        moved = before != (self.progress, self.watermark.value, len(self.inputs))
        self.sequence += moved
        summary = None
        if count and self._spec.stats_seconds is not None:
            summary = summarize(slice_, verdicts, statistics_marks, self._spec.stats_seconds)
        recovered, self._recovered = self._recovered, []
        return VerdictBatch(
            lane=self.index,
            change=LaneChange(
                self.reached() if moved else self.reached()._replace(sequence=NO_SEQUENCE),
                delta,
                summary,
                horizon,
            ),
            slice=slice_,
            verdicts=verdicts,
            matches=matches,
            behind=behind,
            keys_held=len(self.store),
            similarity=similarity,
            skipped=skipped,
            recovered=recovered,
        )

    def _expect(self, known: Sequence[InputPartition]) -> None:
        """Note all input partitions: the watermark waits for each of them."""
        self.watermark.expect(self.inputs.numbers(known))

    def _expire(self) -> float:
        """Drop the state that no later record can match; return the horizon."""
        horizon = self._spec.horizon(self.watermark.value)
        self.store.expire(horizon)
        if self.near is not None:
            self.near.expire(horizon)
        return horizon

    def _match(
        self, slice_: Slice, partitions: Sequence[int], verdicts: Codes, matches: Matches
    ) -> tuple[Delta, Floats | None]:
        """Apply rule 3 (duplicate) to the records that are neither invalid nor late.

        Fills in their verdicts and matches; returns what was added, and the similarities.
        """
        columns = slice_.decided
        rows = np.flatnonzero(verdicts == UNIQUE)
        if not len(rows):
            return Delta.empty(), None
        all_rows = len(rows) == len(verdicts)
        hashes = columns.hashes if all_rows else columns.hashes[rows]
        times = columns.times if all_rows else columns.times[rows]
        refs = references(slice_.spans.of_rows(partitions), slice_.offsets)
        refs = refs if all_rows else refs[rows]
        similarity = None
        if self.near is None or self._spec.near is None or columns.texts is None:
            key_matches, delta = self.store.decide(hashes, times, refs)
        else:
            shards = self._spec.near.shards(columns)[rows]
            records = UndecidedRecords(hashes, times, refs, shards, columns.texts[rows].tolist())
            decision = decide_near(self.store, self.near, records)
            key_matches, delta = decision.matches, decision.delta
            similarity = np.full(len(verdicts), np.nan)
            similarity[rows] = decision.similarity
        duplicates = np.flatnonzero(key_matches.combination >= 0)
        verdicts[rows[duplicates]] = DUPLICATE
        self.hot_keys.add(hashes, refs, duplicates, key_matches.combination[duplicates])
        matches.combination[rows] = key_matches.combination
        matches.originals[rows] = key_matches.originals
        return delta, similarity

    def snapshot(self) -> LaneSnapshot:
        """Copy what a restart needs; cheap if the keys are left to the changelog."""
        spec = self._spec
        size = len(self.store) * BYTES_PER_KEY
        if self.near is not None:
            size += self.near.packed_bytes()
        with_keys = self._durable is None and (
            size <= spec.snapshot_max_bytes or not spec.changelog
        )
        written = self.written
        if self.sequence != self._opened_sequence:
            # Until then the sink gets nothing to write, and keeps its snapshot.
            written = (self._generation, self.sequence)
        return LaneSnapshot(
            index=self.index,
            sequence=self.sequence,
            progress=dict(self.progress),
            watermark=self.watermark.value,
            max_event_times=dict(self.watermark.max_event_times),
            fingerprint=spec.fingerprint,
            keys=self.store.dump() if with_keys else None,
            changelog=spec.changelog,
            written=written,
            inputs=self.inputs.partitions,
            near=self.near.records() if with_keys and self.near is not None else None,
        )

    def restore(self, snapshot: LaneSnapshot) -> None:
        """Continue from a snapshot.  Raises StateError if other settings made it."""
        check_fingerprint(snapshot.fingerprint, self._spec.fingerprint, "the recovery directory")
        self._continue_from(
            LaneProgress(
                snapshot.sequence,
                snapshot.progress,
                snapshot.max_event_times,
                snapshot.watermark,
                snapshot.inputs,
            )
        )
        if snapshot.keys is None:
            msg = (
                "the recovery directory was made with DEDUP_GUARANTEE=exactly_once and left the "
                "keys to the changelog: set it back, or choose another DEDUP_APP_ID and recovery "
                "directory"
            )
            raise StateError(msg)
        self.store.load(snapshot.keys)
        if self.near is not None and snapshot.near is not None:
            self.near.apply(snapshot.near)

    def resume(self) -> LaneProgress | None:
        """Continue from the store on disk; return how far it goes, None if it holds nothing.

        Only the changelog has the texts of near duplicates: with them it is read whole.
        """
        on_disk = None if self._durable is None else self._durable.progress
        if on_disk is None or self.near is not None:
            return None
        self._continue_from(on_disk)
        return on_disk

    def apply(self, changes: Sequence[LaneChange]) -> None:
        """Apply the changelog records of one transaction of an earlier run.

        Only the last record says how far the transaction went.
        """
        last = changes[-1].progress
        self.inputs.go_on_from(last.inputs)
        # A record says only what moved: a store on disk needs all, as the lane does.
        last = last._replace(
            positions=self.progress | last.positions,
            max_event_times=self.watermark.max_event_times | last.max_event_times,
            inputs=self.inputs.partitions,
        )
        horizon = self._spec.horizon(last.watermark)
        on_disk = None if self._durable is None else self._durable.progress
        for change in changes:
            if on_disk is None or last.sequence > on_disk.sequence:
                self.store.apply(change.delta)
                self.committed(replace(change, progress=last, horizon=horizon))
            if self.near is not None and change.delta.near is not None:
                self.near.apply(change.delta.near)
        self._continue_from(last)
        self._expire()

    def _continue_from(self, progress: LaneProgress) -> None:
        self.sequence = progress.sequence
        self.inputs.go_on_from(progress.inputs)
        self._positions.progress = dict(progress.positions)
        self.watermark = Watermark(progress.watermark, dict(progress.max_event_times))

    def opened(self, generation: int) -> None:
        """Note that the lane is restored.  generation: names this opening."""
        self._generation, self._opened_sequence = generation, self.sequence

    def recover(self, summaries: Iterable[Summary | None]) -> None:
        """Pass summaries on to the statistics, with the next verdict batch.

        summaries: of committed changes that are newer than the recovery snapshot.
        """
        if self._spec.stats_seconds is not None:
            self._recovered += [summary for summary in summaries if summary is not None]

    def committed(self, change: LaneChange) -> None:
        """Note that a transaction of this lane is committed; from any thread."""
        if self._durable is not None:
            self._durable.committed(change)

    def marked(self, end: int) -> None:
        """Note where the changelog ended after the last commit; from any thread."""
        if self._durable is not None:
            self._durable.marked(end)

    def __deepcopy__(self, memo: dict[int, Any]) -> LaneSnapshot:
        """Return a snapshot: Bytewax copies the state at the end of an epoch."""
        del memo
        if self._spec.on_snapshot is not None:
            self._spec.on_snapshot()
        return self.snapshot()


OpenLane = Callable[[int, LaneSnapshot | None], Lane]
"""Makes a lane ready to decide: from nothing, or from a recovery snapshot."""
