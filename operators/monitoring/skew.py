"""Skew: how evenly records fall on the lanes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

log = logging.getLogger("dedup.skew")

_CHECK_EVERY_SECONDS = 60.0
# One warning an hour, since a remedy takes a while.
_WARN_EVERY_SECONDS = 3600.0
# With fewer lanes, half of the records may be one lane's fair share.
_MIN_LANES = 4
_MAX_SHARE = 0.5
_MIN_RECORDS = 10_000


class SkewMonitor:
    """Checks once a minute whether one lane gets most of this process' records."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: wall clock, epoch seconds."""
        self._clock = clock
        self._checked_at = clock()
        self._warned_at = float("-inf")
        self._before: dict[int, int] = {}
        self.busiest: tuple[int, float] | None = None
        """Lane with most of the last minute's records, and its share; None if unknown."""

    def check(self, written: Mapping[int, int]) -> None:
        """Check how many records each lane has written so far, if a minute has passed."""
        now = self._clock()
        if now - self._checked_at < _CHECK_EVERY_SECONDS:
            return
        self._checked_at = now
        recent = {lane: count - self._before.get(lane, 0) for lane, count in written.items()}
        self._before = dict(written)
        total = sum(recent.values())
        if total < _MIN_RECORDS:
            self.busiest = None
            return
        lane = max(recent, key=lambda lane: recent[lane])
        share = recent[lane] / total
        self.busiest = (lane, share)
        # With DEDUP_SHARD_BY=[] all records are meant to be in one lane.
        if len(recent) < _MIN_LANES or not _MAX_SHARE < share < 1:
            return
        if now - self._warned_at >= _WARN_EVERY_SECONDS:
            self._warned_at = now
            log.warning(
                "lane %d had %.0f%% of the last %d records of %d lanes: DEDUP_SHARD_BY has few "
                "values, or most records share one. One worker decides a lane, so more processes "
                "do not help: shard by fields with more values.",
                lane,
                share * 100,
                total,
                len(recent),
            )
