"""Windowed statistics: Bytewax's windowing over the summaries of all lanes.

Bytewax's `EventClock` follows the largest time that it sees, and the wall clock.  In a
backfill, where partitions are at different times, it would close a window before the
slowest partition has passed it.  `LanesClock` follows the watermark of the lanes, as the
verdicts do, so that no summary is late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from bytewax.operators.windowing import (
    UTC_MAX,
    UTC_MIN,
    Clock,
    ClockLogic,
    TumblingWindower,
    fold_window,
)
from typing_extensions import override

from operators.changes import NO_SEQUENCE, Counts, add
from operators.statistics.summarize import Statistic, statistics_of, window_of
from operators.verdicts import VerdictBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a lane adds to one window, or only how far the lane has come.

    horizon: the lane adds nothing more to windows before this one.  None if it is unknown,
    or if the last piece of the same batch carries it.
    """

    lane: int
    window: int
    counts: Counts
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class StatisticsSettings:
    """seconds: length of the windows.  lanes: number of lanes."""

    seconds: float
    lanes: int


def pieces_of(batch: VerdictBatch, settings: StatisticsSettings) -> Iterator[tuple[float, Piece]]:
    """Yield the pieces of a verdict batch: its counts first, then how far its lane has come.

    Each piece comes with the length of its window.  A heartbeat that changes nothing has
    no pieces but recovered counts.
    """
    for summary in (*batch.recovered, batch.change.summary):
        if summary is not None:
            for window, counts in summary.windows.items():
                yield summary.seconds, Piece(batch.lane, window, counts)
    seconds, progress = settings.seconds, batch.change.progress
    if progress.sequence != NO_SEQUENCE and progress.watermark > float("-inf"):
        now = window_of(progress.watermark, seconds)
        yield seconds, Piece(batch.lane, now, {}, window_of(batch.change.horizon, seconds))


_Horizons: TypeAlias = dict[int, int]


@dataclass(slots=True)
class _LanesClockLogic(ClockLogic[Piece, _Horizons]):
    """Time is the first window that some lane may still add to."""

    length: timedelta
    lanes: int
    horizons: _Horizons = field(default_factory=dict)
    watermark: datetime = UTC_MIN

    @override
    def before_batch(self) -> None:
        """Do nothing: the wall clock does not matter."""

    @override
    def on_item(self, value: Piece) -> tuple[datetime, datetime]:
        if value.horizon is not None:
            self.horizons[value.lane] = value.horizon
            if len(self.horizons) == self.lanes:
                reached = _EPOCH + self.length * min(self.horizons.values())
                self.watermark = max(self.watermark, reached)
        # The middle of the window: rounding cannot move that into another window.
        return _EPOCH + self.length * value.window + self.length / 2, self.watermark

    @override
    def on_notify(self) -> datetime:
        return self.watermark

    @override
    def on_eof(self) -> datetime:
        return UTC_MAX

    @override
    def to_system_utc(self, timestamp: datetime) -> datetime | None:
        return None  # Only the lanes close a window.

    @override
    def snapshot(self) -> _Horizons:
        return dict(self.horizons)


@dataclass(frozen=True, slots=True)
class LanesClock(Clock[Piece, _Horizons]):
    """The horizon of the slowest lane, in whole windows.

    Promises: no piece is late, since no lane adds to a window before its horizon.  The
    clock stands still while all input is idle.  The end of input closes all windows.
    """

    length: timedelta
    lanes: int

    @override
    def build(self, resume_state: _Horizons | None) -> _LanesClockLogic:
        logic = _LanesClockLogic(self.length, self.lanes)
        if resume_state is not None:
            logic.horizons = dict(resume_state)
        return logic


def _nothing() -> Counts:
    return {}


def _add(state: Counts, more: Counts) -> Counts:
    add(state, more.items())
    return state


@operator
def windowed_statistics(
    step_id: str,  # noqa: ARG001 - Bytewax's
    up: KeyedStream[VerdictBatch],
    settings: StatisticsSettings,
) -> KeyedStream[Statistic]:
    """Count verdicts by window and event type; a window is written when it closes.

    up: keyed by lane.  The result and the state are keyed by the length of the windows, so
    that open windows of an earlier run with another length are finished with that length.
    """

    def pieces(item: tuple[str, VerdictBatch]) -> list[tuple[str, Piece]]:
        return [(repr(seconds), piece) for seconds, piece in pieces_of(item[1], settings)]

    def statistics(item: tuple[str, tuple[int, Counts]]) -> list[tuple[str, Statistic]]:
        key, (window, counts) = item
        return [(key, statistic) for statistic in statistics_of(window, float(key), counts)]

    length = timedelta(seconds=settings.seconds)
    windows = fold_window(
        "windows",
        op.flat_map("pieces", up, pieces),
        LanesClock(length, settings.lanes),
        TumblingWindower(length, align_to=_EPOCH),
        builder=_nothing,
        folder=lambda state, piece: _add(state, piece.counts),
        merger=_add,
        ordered=False,
    )
    return op.flat_map("statistics", windows.down, statistics)
