"""When sources read and lanes commit where little comes in: all at the same moments.

A record waits to be read, then for its lane to commit; and a `read_committed` reader of
a partition gets no further than the first record of the oldest open transaction,
whichever lane's it is.  So all partitions are read at the same moments of the wall clock,
which is the same for all processes, and lanes commit once they were given what was read.
"""

from __future__ import annotations

import math

# A rolling broker restart takes seconds; a transaction that is open for longer than
# transaction.timeout.ms (60 s) is ended by the broker anyway.
RETRY_TIMEOUT_SECONDS = 60.0
# A commit costs the brokers the same for one record as for thousands, but lanes that have
# few have time to spare: so often an interval.  At 10,000 records/s, 3 cost the brokers more
# than they save.
_COMMITS_AN_INTERVAL = 2.5
_FEW_RECORDS = 1_000
# Whoever asks for a long interval wants few commits.
_LONG_INTERVAL_SECONDS = 1.0
# Readings are not quite regular: a lane need not wait for the last bit.
_SHARE_OF_A_COMMIT = 0.8
# A lane is given what was read at a time in one go, then nothing for so long: what several
# workers have read does not come all at once.
_QUIET_SECONDS, _QUIET_SECONDS_OF_ONE_WORKER = 0.003, 0.001
# Each reading has its price, however few the records: between these two, where it may.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.02, 0.05


class PollTiming:
    """When a source asks again that has found little."""

    def __init__(self, commit_interval_seconds: float = math.inf) -> None:
        """commit_interval_seconds: infinite where nothing is committed."""
        seconds = _SHORTEST_SECONDS
        if commit_interval_seconds <= _LONG_INTERVAL_SECONDS:
            seconds = commit_interval_seconds / _COMMITS_AN_INTERVAL
            if seconds < _SHORTEST_SECONDS:
                seconds *= math.ceil(_SHORTEST_SECONDS / seconds)
            else:
                seconds /= math.ceil(seconds / _LONGEST_SECONDS)
        self.seconds = seconds

    def wait(self, now: float) -> float:
        """Seconds, more than none, until it is time; now: the wall clock, epoch seconds."""
        return self.seconds - now % self.seconds


class CommitTiming:
    """When a lane commits.  Times are seconds of one clock that never goes back."""

    def __init__(self, interval_seconds: float, workers: int) -> None:
        """interval_seconds: the longest that a transaction stays open.

        workers: that give the lane records.
        """
        self._interval = interval_seconds
        self._quiet = _QUIET_SECONDS if workers > 1 else _QUIET_SECONDS_OF_ONE_WORKER
        self._shortest = interval_seconds / _COMMITS_AN_INTERVAL * _SHARE_OF_A_COMMIT
        self._due: float | None = None
        self._written = self._committed = -math.inf

    def began(self, now: float) -> None:
        """Take note that a transaction was begun."""
        self._due = now + self._interval

    def written(self, now: float) -> None:
        """Take note that the lane was given records."""
        self._written = now

    def commits(self, now: float) -> None:
        """Take note that the open transaction is being committed."""
        self._committed = now
        self._due = None

    def wait(self, now: float, records: int) -> float | None:
        """Seconds until the transaction is to be looked at; 0: commit it, None: none is open.

        records: in the transaction.
        """
        if self._due is None:
            return None
        due = self._due
        if records <= _FEW_RECORDS and self._interval <= _LONG_INTERVAL_SECONDS:
            earliest = max(self._written + self._quiet, self._committed + self._shortest)
            due = min(due, earliest)
        return max(due - now, 0.0)
