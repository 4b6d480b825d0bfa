"""Liveness: when this process last gave a sign of life, and when its last epoch ended."""

from __future__ import annotations

import time
from collections.abc import Callable


class Liveness:
    """Notes every sign of life of the dataflow, from any thread.

    A sign of life is a poll of a source, a decided slice, the end of an epoch, or an
    attempt to reach the brokers.  A process that neither reads nor decides has nothing
    to do; nobody expects a sign of life from it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that never go back."""
        self._clock = clock
        self._sources = 0
        self._lanes = 0
        self.last_activity = self._epoch_ended = clock()
        self.epochs = self.outages = 0

    def note_activity(self) -> None:
        """Note a sign of life."""
        self.last_activity = self._clock()

    def note_outage(self) -> None:
        """Note that a lane waits for brokers: the end of an epoch waits for them, too."""
        self.outages += 1
        self.note_activity()

    def source_opened(self) -> None:
        """Note an input partition that this process reads."""
        self._sources += 1
        self.note_activity()

    def source_ended(self) -> None:
        """Note an input partition that has ended."""
        self._sources -= 1
        self.note_activity()

    def lane_opened(self) -> None:
        """Note a lane that this process decides."""
        self._lanes += 1
        self.note_activity()

    def epoch_ended(self) -> None:
        """Note the end of an epoch: Bytewax takes a snapshot."""
        self.epochs += 1
        self.note_activity()
        self._epoch_ended = self.last_activity

    @property
    def reads(self) -> bool:
        """Whether this process has an input partition that has not ended."""
        return self._sources > 0

    @property
    def decides(self) -> bool:
        """Whether this process has lanes."""
        return self._lanes > 0

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last sign of life."""
        return self._clock() - self.last_activity

    @property
    def epoch_seconds(self) -> float:
        """Seconds since the last epoch ended, or since the process began."""
        return self._clock() - self._epoch_ended
