"""Moments of the wall clock: lanes with little to write commit at them, sources read before them.

A `read_committed` reader of a partition gets no further than the first record of the
oldest open transaction, whichever lane's it is; so lanes commit at the same moments.  A
record waits to be read, then to be committed: read shortly before a commit, it waits
once.  The wall clock is the same for all lanes of all processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# A commit costs the brokers the same for one record as for thousands, but lanes that have
# few have time to spare: so often an interval.
_COMMITS_AN_INTERVAL = 2
# Whoever asks for a long interval wants few commits.
_LONG_INTERVAL_SECONDS = 1.0
# Each reading has its price, however few the records: between these two, where it may.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.02, 0.05
# What some thousand records take to be decided.
_AHEAD_SECONDS = 0.015


def until_tick(now: float, seconds: float) -> float:
    """Seconds, more than none, until the clock is a multiple of so many seconds (> 0)."""
    return seconds - now % seconds


def commit_seconds(interval_seconds: float) -> float | None:
    """How far the moments lie apart at which lanes with few records commit; None for no such."""
    if interval_seconds > _LONG_INTERVAL_SECONDS:
        return None
    return interval_seconds / _COMMITS_AN_INTERVAL


@dataclass(frozen=True, slots=True)
class Reading:
    """When a source reads where little comes in: all partitions at the same moments.

    seconds: how far these lie apart.  ahead_seconds: how long before multiples of that.
    """

    seconds: float = _SHORTEST_SECONDS
    ahead_seconds: float = 0.0

    @classmethod
    def before_commits(cls, interval_seconds: float) -> Reading:
        """Read before commits, given the commit interval."""
        seconds = commit_seconds(interval_seconds)
        if seconds is None:
            return cls()
        if seconds < _SHORTEST_SECONDS:
            seconds *= math.ceil(_SHORTEST_SECONDS / seconds)
        else:
            seconds /= math.ceil(seconds / _LONGEST_SECONDS)
        return cls(seconds, _AHEAD_SECONDS)

    def wait(self, now: float) -> float:
        """Seconds, more than none, until it is time; now: the wall clock, epoch seconds."""
        return until_tick(now + self.ahead_seconds, self.seconds)
