"""One lane: it decides batches of its keys and tells what changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from operators.batches import Slice, Span, select_rows
from operators.changes import Change, Delta, LaneChange, LaneProgress, Summary
from operators.columns.arrays import Codes, Floats, Hashes, Ints
from operators.columns.references import NO_REFERENCE, references
from operators.errors import StateError
from operators.fingerprint import check_fingerprint
from operators.lanes.hot_keys import HotKeys
from operators.lanes.snapshot import BYTES_PER_KEY, LaneSnapshot
from operators.lanes.watermark import Watermark
from operators.similarity.near_duplicates import Asked, NearSpec, decide_near
from operators.statistics.summarize import summarize, without_watermark
from operators.verdicts import DUPLICATE, INVALID, LATE, NOTHING, Matches, VerdictBatch
from operators.windows.store import DurableStore, KeyStore


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """How a lane judges.

    new_store: makes an empty store of keys.  open_store: opens that of a lane, where it
    outlives the process; None where it does not.  Durations in seconds.
    fingerprint: setting → text, of the settings that change what the state means.
    changelog: whether what the lane knows is in a changelog too; then a snapshot
    holds the keys only up to `snapshot_max_bytes`.  on_snapshot: called when one is
    taken, since Bytewax tells nobody else that an epoch ends.  near: how near
    duplicates are looked for, None where they are not.
    """

    new_store: Callable[[], KeyStore]
    allowed_lateness_seconds: float
    idle_seconds: float
    fingerprint: dict[str, str]
    changelog: bool = False
    snapshot_max_bytes: int = 0
    stats_seconds: float | None = None
    on_snapshot: Callable[[], None] | None = None
    near: NearSpec | None = None
    open_store: Callable[[int], KeyStore] | None = None

    def expiry(self) -> Callable[[float, float], bool]:
        """Return what tells of state up to an event time whether it is of use at a horizon."""
        keys = self.new_store().is_expired
        if self.near is None:
            return keys
        texts = self.near.index().is_expired
        return lambda newest, horizon: keys(newest, horizon) and texts(newest, horizon)


class Lane:
    """Decides slices one after another; everything that must agree is in here.

    Promises: rows that were answered before are skipped; a span that does not
    begin where the last one of its partition ended raises StateError (a gap is a
    bug or a foreign recovery directory, never data to guess about); a slice of many
    spans is answered as one slice of each would be, in their order.
    """

    def __init__(self, lane: int, spec: LaneSpec) -> None:
        """lane: its number, from 0."""
        self.lane = lane
        self.number = 0
        self.run = 0
        self.progress: dict[int, int] = {}
        self.watermark = Watermark()
        self.store = spec.new_store() if spec.open_store is None else spec.open_store(lane)
        self._durable = self.store if isinstance(self.store, DurableStore) else None
        self.hot_keys = HotKeys()
        self.near = None if spec.near is None else spec.near.index()
        self._spec = spec
        self._position: dict[int, int] = {}
        self._recovered: list[Summary] = []

    def decide(self, slice_: Slice) -> VerdictBatch:
        """Give each record of a slice that was not answered before its verdict."""
        before = (dict(self.progress), self.watermark.value)
        slice_, skipped = self._unanswered(slice_)
        decided = slice_.decided
        count = len(slice_)
        marks, current = self._advance(slice_)
        verdicts = np.zeros(count, np.int8)
        behind = np.full(count, np.nan)
        matches = Matches(np.full(count, -1, np.int8), np.full(count, NO_REFERENCE, np.int64))
        delta, similarity = Delta.empty(), None
        if count:
            # Differences of the largest doubles may be infinite, which no JSON can say.
            with np.errstate(over="ignore"):
                # NaN, the time of an invalid record, compares as not late.
                late = decided.times < marks - self._spec.allowed_lateness_seconds
                behind[late] = np.minimum(marks[late] - decided.times[late], sys.float_info.max)
            verdicts[late] = LATE
            if decided.invalid:
                verdicts[list(decided.invalid)] = INVALID
            delta, similarity = self._match(slice_, verdicts, matches)
        self._expire()
        # A heartbeat that changes nothing is not worth a number, and is not written.
        moved = before != (self.progress, self.watermark.value)
        self.number += moved
        summary = None
        if count and self._spec.stats_seconds is not None:
            summary = summarize(slice_, verdicts, current, self._spec.stats_seconds)
        recovered, self._recovered = self._recovered, []
        return VerdictBatch(
            lane=self.lane,
            number=self.number if moved else NOTHING,
            positions=dict(self.progress),
            largest=dict(self.watermark.largest),
            slice=slice_,
            verdicts=verdicts,
            matches=matches,
            behind=behind,
            watermark=self.watermark.value,
            keys_held=len(self.store),
            delta=delta,
            similarity=similarity,
            skipped=skipped,
            summary=summary,
            recovered=recovered,
        )

    def _advance(self, slice_: Slice) -> tuple[Floats, Floats]:
        """Move the watermark to the slice's end; return it as each record meets it.

        And the same for statistics, which need a time also where there is no watermark yet.
        """
        watermark = self.watermark
        marks = np.empty(len(slice_))
        stand_ins = []
        for (span, rows), largest in zip(slice_.spans, slice_.largest, strict=True):
            watermark.idle_ended(span.read_at, self._spec.idle_seconds)
            if rows.start < rows.stop:
                before = slice_.decided.running_max[rows]
                marks[rows] = watermark.before_each(span, before)
                if self._spec.stats_seconds is not None and marks[rows.start] == -np.inf:
                    own = watermark.largest_before_each(span, before)
                    times = without_watermark(slice_, rows, marks[rows], own, span.read_at)
                    stand_ins.append((rows, times))
            watermark.advance(span, largest)
        if not stand_ins:
            return marks, marks
        current = marks.copy()
        for rows, times in stand_ins:
            current[rows] = times
        return marks, current

    def _expire(self) -> None:
        horizon = self.watermark.value - self._spec.allowed_lateness_seconds
        self.store.expire(horizon)
        if self.near is not None:
            self.near.expire(horizon)

    def _match(
        self, slice_: Slice, verdicts: Codes, matches: Matches
    ) -> tuple[Delta, Floats | None]:
        """Rule 3 for the records that are neither invalid nor late."""
        decided = slice_.decided
        asked = np.flatnonzero(verdicts == 0)
        if not len(asked):
            return Delta.empty(), None
        everything = len(asked) == len(verdicts)
        hashes = decided.hashes if everything else decided.hashes[asked]
        times = decided.times if everything else decided.times[asked]
        refs = references(slice_.spans.partitions, slice_.offsets)
        refs = refs if everything else refs[asked]
        similarity = None
        if self.near is None or self._spec.near is None or decided.texts is None:
            found, delta = self.store.decide(hashes, times, refs)
        else:
            shards = self._spec.near.shards(decided)[asked]
            decision = decide_near(
                self.store,
                self.near,
                Asked(hashes, times, refs, shards, decided.texts[asked].tolist()),
            )
            found, delta = decision.matches, decision.delta
            similarity = np.full(len(verdicts), np.nan)
            similarity[asked] = decision.similarity
        repeated = np.flatnonzero(found.combination >= 0)
        verdicts[asked[repeated]] = DUPLICATE
        self._count_hot(hashes, refs, found, repeated)
        matches.combination[asked] = found.combination
        matches.originals[asked] = found.originals
        return delta, similarity

    def _count_hot(self, hashes: Hashes, refs: Ints, found: Matches, repeated: Ints) -> None:
        """Count repeats by key; near duplicates (a combination more) have none."""
        combinations = found.combination[repeated]
        if len(repeated) and combinations.max() >= hashes.shape[1]:
            repeated = repeated[combinations < hashes.shape[1]]
            combinations = found.combination[repeated]
        if len(repeated):
            self.hot_keys.add(hashes[repeated, combinations], combinations, refs[repeated])

    def _unanswered(self, slice_: Slice) -> tuple[Slice, int]:
        """Check that a slice follows on the last one, and leave out what was answered."""
        kept = np.ones(len(slice_), np.bool_)
        for span, rows in slice_.spans:
            reached = self._follow(span)
            if span.start < reached:
                kept[rows] = slice_.offsets[rows] >= reached
        skipped = len(slice_) - int(kept.sum())
        return (select_rows(slice_, kept) if skipped else slice_), skipped

    def _follow(self, span: Span) -> int:
        """Go on with the next span of a partition; return up to where it was answered."""
        partition = span.partition
        reached = self.progress.get(partition, span.start)
        position = self._position.get(partition)
        # The first slice after a restart may begin earlier than needed, never later.
        if span.start > reached or (position is not None and span.start != position):
            msg = (
                f"lane {self.lane} has read partition {partition} up to offset "
                f"{reached if position is None else position}, but the next records begin at "
                f"{span.start}: records are missing between. Is the recovery directory another "
                "application's, or the consumer group's offsets set by hand?"
            )
            raise StateError(msg)
        self._position[partition] = span.end
        self.progress[partition] = max(reached, span.end)
        return reached

    def snapshot(self) -> LaneSnapshot:
        """Copy what a restart needs; cheap where the keys are left to the changelog."""
        spec = self._spec
        size = len(self.store) * BYTES_PER_KEY
        if self.near is not None:
            size += self.near.packed_bytes()
        whole = size <= spec.snapshot_max_bytes or not spec.changelog
        whole = whole and self._durable is None
        return LaneSnapshot(
            lane=self.lane,
            number=self.number,
            progress=dict(self.progress),
            watermark=self.watermark.value,
            largest=dict(self.watermark.largest),
            fingerprint=spec.fingerprint,
            keys=self.store.dump() if whole else None,
            changelog=spec.changelog,
            run=self.run,
            near=self.near.records() if whole and self.near is not None else None,
        )

    def apply(self, changes: Sequence[LaneChange]) -> None:
        """Take over what one transaction of an earlier run changed, as its changelog has it.

        Only the last of its records says how far it went.
        """
        last = changes[-1]
        kept = None if self._durable is None else self._durable.progress
        for change in changes:
            if kept is None or last.number > kept.number:
                self.store.apply(change.delta)
                self.committed(replace(last, delta=change.delta))
            if self.near is not None and change.delta.near is not None:
                self.near.apply(change.delta.near)
        self.number = last.number
        self.progress.update(last.positions)
        self.watermark = Watermark(last.watermark, dict(last.largest))
        self._expire()

    def resume(self) -> LaneProgress | None:
        """Go on from what a store on disk has; return how far that goes, None for nothing.

        The texts of near duplicates are in the changelog only: with them it is read whole.
        """
        kept = None if self._durable is None else self._durable.progress
        if kept is None or self.near is not None:
            return None
        self.number = kept.number
        self.progress = dict(kept.positions)
        self.watermark = Watermark(kept.watermark, dict(kept.largest))
        return kept

    def committed(self, change: LaneChange) -> None:
        """Take note that a transaction of this lane is committed; from any thread."""
        if self._durable is not None:
            progress = LaneProgress(
                change.number, change.positions, change.largest, change.watermark
            )
            horizon = change.watermark - self._spec.allowed_lateness_seconds
            self._durable.committed(Change(progress, change.delta, horizon))

    def marked(self, end: int) -> None:
        """Take note of where the changelog ended after that; from any thread."""
        if self._durable is not None:
            self._durable.marked(end)

    def recover(self, summaries: Iterable[Summary | None]) -> None:
        """Take over what statistics still have to count: the next verdict batch carries it.

        summaries: of changes that are committed, but younger than the recovery snapshot.
        """
        if self._spec.stats_seconds is not None:
            self._recovered += [summary for summary in summaries if summary is not None]

    def restore(self, snapshot: LaneSnapshot) -> None:
        """Take over a snapshot.  Raises StateError if it was made with other settings."""
        check_fingerprint(snapshot.fingerprint, self._spec.fingerprint, "the recovery directory")
        self.number = snapshot.number
        self.progress = dict(snapshot.progress)
        self.watermark = Watermark(snapshot.watermark, dict(snapshot.largest))
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

    def __deepcopy__(self, memo: dict[int, Any]) -> LaneSnapshot:
        """Bytewax copies a state at the end of an epoch: the copy is the snapshot."""
        del memo
        if self._spec.on_snapshot is not None:
            self._spec.on_snapshot()
        return self.snapshot()


OpenLane = Callable[[int, LaneSnapshot | None], Lane]
"""Makes a lane ready to decide: from nothing, or from a recovery snapshot."""
