"""How long nothing comes out although there is something to answer."""

import threading
import time
from typing import Final, Protocol

from deploy.kafka.scoped import Scoped

_POLL_SECONDS: Final = 0.05


class Counted(Protocol):
    """What is watched.  delivered: records in the input.  answered: committed outputs.

    ended: whether the job is not running any more, in part at least.
    """

    @property
    def delivered(self) -> int: ...
    @property
    def answered(self) -> int: ...
    @property
    def ended(self) -> bool: ...


class Silence:
    """The longest time without a new output while records wait for theirs.

    Time is passed in, so that it can be tested.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._answered = 0
        self._quiet_since = 0.0
        self._waiting = False

    def look(self, delivered: int, answered: int, now: float) -> None:
        """Take note of both counts."""
        if self._waiting:
            self.longest_seconds = max(self.longest_seconds, now - self._quiet_since)
        if answered != self._answered or not self._waiting:
            self._answered, self._quiet_since = answered, now
        self._waiting = delivered > answered


class SilenceWatch(Scoped):
    """Measures the silence in a thread, until the job ends.

    ended_after_seconds: when the job ended, counted from the begin; None as long as it runs.
    """

    def __init__(self, counted: Counted) -> None:
        self.ended_after_seconds: float | None = None
        self._counted = counted
        self._silence = Silence()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="silence")

    @property
    def longest_seconds(self) -> float:
        return self._silence.longest_seconds

    def begin(self) -> None:
        """Start watching."""
        self._thread.start()

    def end(self) -> None:
        """Stop watching."""
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        self._silence.look(0, 0, began)
        counted = self._counted
        while not self._enough.wait(_POLL_SECONDS):
            now = time.monotonic()
            if counted.ended:
                self.ended_after_seconds = now - began
                return
            self._silence.look(counted.delivered, counted.answered, now)
