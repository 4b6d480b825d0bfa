"""Keeps the ends of epochs in step where a job has several workers."""

from __future__ import annotations

from typing import Final

# What is not worth a correction: a commit takes as long.
_TOLERANCE_SECONDS: Final = 0.1
# A worker that sleeps hears of nothing, a stop included.
_LONGEST_SECONDS: Final = 1.0
# A shorter wait may be as long again because the ends go on to drift.
_DRIFT_SECONDS: Final = 0.3
# What helped nothing is tried again after so many epochs.
_FORGET_AFTER_EPOCHS: Final = 10


class EpochTiming:
    """Tells a worker's source when to wake up near the end of an epoch.

    With Bytewax an epoch ends on each worker when that wakes up, an interval or more after it
    ended one last.  Who has ended an epoch reads nothing until all have.  Wake-ups differ, so the
    ends drift apart, in the worst case by an interval: then a worker reads once in an epoch.

    So a worker that had to wait for the others sleeps as long before its next end, and ends with
    them from then on.  It may have waited for commits instead, which it learns when it has to wait
    as long again; then it does not sleep.  All times are seconds of the wall clock.
    """

    def __init__(self, interval_seconds: float) -> None:
        """interval_seconds: of epochs; 0 where a worker is alone."""
        self._interval = interval_seconds
        self._ended_at: float | None = None
        self._due = 0.0
        # How much later than it is due the epoch is to end, and how much later the last one did.
        self._delay = self._delayed = 0.0
        # The last wait, and how long one may be without a correction.
        self._wait = self._accepted = 0.0
        self._epochs = 0

    def ended(self, at: float) -> None:
        """Note the end of an epoch.  at: when the worker woke up for it."""
        self._delayed = self._delay if at >= self._due + self._delay / 2 else 0.0
        self._delay = 0.0
        self._due, self._ended_at = at + self._interval, at

    def reads(self, at: float) -> None:
        """Note that the worker may read: after an end, that all have ended the epoch."""
        if self._ended_at is None or not self._interval:
            return
        wait, self._ended_at = at - self._ended_at, None
        if not 0.0 <= wait <= self._interval:
            # Brokers were slow, and all workers end the next epoch at once; or a clock was set.
            return
        self._epochs += 1
        if self._epochs > _FORGET_AFTER_EPOCHS:
            self._epochs, self._accepted = 0, 0.0
        in_vain = self._delayed and wait > self._wait - self._delayed / 2
        if in_vain and wait > _DRIFT_SECONDS:
            self._epochs, self._accepted = 0, wait
        self._accepted = min(self._accepted, wait)
        self._wait = wait
        if wait - self._accepted > _TOLERANCE_SECONDS:
            self._delay = min(wait - self._accepted, _LONGEST_SECONDS)

    def wake(self, woke: float, wake: float) -> float:
        """Return when to wake up.  woke: when the worker did.  wake: when it would do so."""
        if self._delay and woke < self._due <= wake:
            return max(wake, self._due + self._delay)
        return wake
