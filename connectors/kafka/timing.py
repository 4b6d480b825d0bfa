"""When sources read and lanes commit at low load: all at the same moments.

A record waits to be read, and then until its lane commits.  A `read_committed` reader of a
partition also waits for the oldest open transaction in it, whichever lane opened it.
So all processes read all partitions at the same moments of the wall clock, and lanes commit
when they have received all records of a reading.
"""

from __future__ import annotations

import math

# A commit costs the brokers the same for one record as for thousands.  With few records lanes
# have time to spare, so they commit up to 2.5 times an interval.  At 10,000 records/s, three
# commits an interval cost the brokers more than they save.
_COMMITS_PER_INTERVAL = 2.5
_MAX_FEW_RECORDS = 1_000
# A long interval is set to get few commits.
_LONG_INTERVAL_SECONDS = 1.0
# Readings are not quite regular, so a lane may commit a little before its share has passed.
_SHARE_OF_INTERVAL = 0.8
# A lane gets all records of one reading together, then nothing for at least this long.
# The records of several workers arrive less close together.
_QUIET_SECONDS, _QUIET_SECONDS_OF_SINGLE_WORKER = 0.003, 0.001
# A reading has a fixed cost, however few records it returns: its pause is between these two
# where the interval allows it.
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.02, 0.05


class PollTiming:
    """When a source reads again after a reading with few records."""

    def __init__(self, commit_interval_seconds: float = math.inf) -> None:
        """commit_interval_seconds: infinite where nothing is committed."""
        seconds = _MIN_PAUSE_SECONDS
        if commit_interval_seconds <= _LONG_INTERVAL_SECONDS:
            seconds = commit_interval_seconds / _COMMITS_PER_INTERVAL
            if seconds < _MIN_PAUSE_SECONDS:
                seconds *= math.ceil(_MIN_PAUSE_SECONDS / seconds)
            else:
                seconds /= math.ceil(seconds / _MAX_PAUSE_SECONDS)
        self.seconds = seconds

    def wait(self, now: float) -> float:
        """Return the seconds until the next reading, > 0.  now: wall clock, epoch seconds."""
        return self.seconds - now % self.seconds


class CommitTiming:
    """When a lane commits.  All times are seconds of the same monotonic clock."""

    def __init__(self, interval_seconds: float, workers: int) -> None:
        """interval_seconds: the longest time that a transaction stays open.

        workers: number of workers that send the lane records.
        """
        self._interval = interval_seconds
        self._quiet = _QUIET_SECONDS if workers > 1 else _QUIET_SECONDS_OF_SINGLE_WORKER
        self._min_pause = interval_seconds / _COMMITS_PER_INTERVAL * _SHARE_OF_INTERVAL
        self._due: float | None = None
        self._written = self._committed = -math.inf

    def began(self, now: float) -> None:
        """Note that a transaction has begun."""
        self._due = now + self._interval

    def written(self, now: float) -> None:
        """Note that the lane has received records."""
        self._written = now

    def commits(self, now: float) -> None:
        """Note that the lane is committing the open transaction."""
        self._committed = now
        self._due = None

    def wait(self, now: float, records: int) -> float | None:
        """Return the seconds until the next call.  0: commit now.  None: no transaction is open.

        records: number of records in the transaction.
        """
        if self._due is None:
            return None
        due = self._due
        if records <= _MAX_FEW_RECORDS and self._interval <= _LONG_INTERVAL_SECONDS:
            earliest = max(self._written + self._quiet, self._committed + self._min_pause)
            due = min(due, earliest)
        return max(due - now, 0.0)
