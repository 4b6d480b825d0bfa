"""Skew: how evenly records fall on the lanes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

log = logging.getLogger("dedup.skew")

_LOOK_EVERY_SECONDS = 60.0
# A warning an hour: what to do about it takes a while.
_SAY_EVERY_SECONDS = 3600.0
# With fewer lanes, half of the records is what one of them should have.
_FEWEST_LANES = 4
_MOST_SHARE = 0.5
_FEWEST_RECORDS = 10_000


class SkewMonitor:
    """Looks once a minute whether one lane has most of this process' records."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: wall clock, epoch seconds."""
        self._clock = clock
        self._looked = clock()
        self._said = float("-inf")
        self._before: dict[int, int] = {}
        self.busiest: tuple[int, float] | None = None
        """Lane that had most of the last minute's records, and its share; None if unknown."""

    def check(self, written: Mapping[int, int]) -> None:
        """Look at how many records each lane has written so far, if it is time."""
        now = self._clock()
        if now - self._looked < _LOOK_EVERY_SECONDS:
            return
        self._looked = now
        recent = {lane: count - self._before.get(lane, 0) for lane, count in written.items()}
        self._before = dict(written)
        total = sum(recent.values())
        if total < _FEWEST_RECORDS:
            self.busiest = None
            return
        lane = max(recent, key=lambda lane: recent[lane])
        share = recent[lane] / total
        self.busiest = (lane, share)
        # All in one lane is what DEDUP_SHARD_BY=[] asks for.
        if len(recent) < _FEWEST_LANES or not _MOST_SHARE < share < 1:
            return
        if now - self._said >= _SAY_EVERY_SECONDS:
            self._said = now
            log.warning(
                "lane %d had %.0f%% of the last %d records of %d lanes: few values of "
                "DEDUP_SHARD_BY, or one that most records share. One lane is one worker's work: "
                "more processes will not help; shard by fields with more values.",
                lane,
                share * 100,
                total,
                len(recent),
            )
