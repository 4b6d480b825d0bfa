"""Whether the loop of this process moves, and how far it has come since it was started."""

from __future__ import annotations

import time
from collections.abc import Callable


class Liveness:
    """Takes note of every sign of life of the dataflow, from whichever thread.

    A sign of life is a source being asked for records, a lane deciding a slice, an
    epoch ending, or a try to reach the brokers.  A process that neither reads nor
    decides has nothing to do, and is not expected to give any.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds that never go back."""
        self._clock = clock
        self._sources = 0
        self._lanes = 0
        self.last_activity = self._epoch_ended = clock()
        self.epochs = 0

    def note_activity(self) -> None:
        """Note a sign of life."""
        self.last_activity = self._clock()

    def source_opened(self) -> None:
        """Note an input partition that this process reads."""
        self._sources += 1
        self.note_activity()

    def source_ended(self) -> None:
        """Note an input partition that gives no more."""
        self._sources -= 1
        self.note_activity()

    def lane_opened(self) -> None:
        """Note a lane that this process decides."""
        self._lanes += 1
        self.note_activity()

    def epoch_ended(self) -> None:
        """Note that an epoch has ended: a snapshot is taken."""
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
        """Since the last sign of life."""
        return self._clock() - self.last_activity

    @property
    def epoch_seconds(self) -> float:
        """Since the last epoch ended, or the process began."""
        return self._clock() - self._epoch_ended
