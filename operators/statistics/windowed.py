"""Windowed statistics, with Bytewax's windowing over the summaries of all lanes.

Bytewax's `EventClock` follows the largest time that it sees, and the wall clock:
in a backfill, where partitions are at different times, it would close a window
before the records of the slowest partition are in.  `LanesClock` follows the
watermark of the lanes instead, as the verdicts do, so that no summary is late.
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
    """What a lane adds to one window, or only how far it has got.

    horizon: number of the window before which the lane gives nothing any more; None
    where it is not known, or follows in the last piece of the same batch.
    """

    lane: int
    window: int
    counts: Counts
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class StatisticsSettings:
    """seconds: length of the windows.  lanes: how many there are."""

    seconds: float
    lanes: int


def pieces_of(batch: VerdictBatch, settings: StatisticsSettings) -> Iterator[tuple[float, Piece]]:
    """Yield what a verdict batch adds: its counts first, then how far its lane has got.

    Each with the length of the windows that it is counted in.  A batch that changes
    nothing (a heartbeat) adds nothing.
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
    """Time is the window that all lanes have reached."""

    length: timedelta
    lanes: int
    horizons: _Horizons = field(default_factory=dict)
    watermark: datetime = UTC_MIN

    @override
    def before_batch(self) -> None:
        """The wall clock does not matter."""

    @override
    def on_item(self, value: Piece) -> tuple[datetime, datetime]:
        if value.horizon is not None:
            self.horizons[value.lane] = value.horizon
            if len(self.horizons) == self.lanes:
                reached = _EPOCH + self.length * min(self.horizons.values())
                self.watermark = max(self.watermark, reached)
        # The middle: no rounding of a length can put it into another window.
        return _EPOCH + self.length * value.window + self.length / 2, self.watermark

    @override
    def on_notify(self) -> datetime:
        return self.watermark

    @override
    def on_eof(self) -> datetime:
        return UTC_MAX

    @override
    def to_system_utc(self, timestamp: datetime) -> datetime | None:
        return None  # Only word from the lanes closes a window.

    @override
    def snapshot(self) -> _Horizons:
        return dict(self.horizons)


@dataclass(frozen=True, slots=True)
class LanesClock(Clock[Piece, _Horizons]):
    """The watermark of the slowest lane, less the allowed lateness, in whole windows.

    Promises: no piece is late, since no lane gives anything for a window before its
    horizon.  Stands still while all input is idle.  At the end of input it closes
    all windows.
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
    """Count verdicts by window and event type; each is given out when its window closes.

    up: keyed by lane.  The result is keyed by the length of the windows, and so is
    their state: those of an earlier run with another length are finished as they began.
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
