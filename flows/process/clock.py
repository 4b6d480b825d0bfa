"""Notices a wall clock that steps back: Bytewax reads by that clock, and would stand still.

Bytewax asks a source again when the wall clock has passed the time that the source named, and if
it named none, a millisecond later by the same clock.  It ends epochs by that clock, too.  So after
a step back nothing is read until the clock has caught up, whatever a source answers (0.21.1,
src/inputs.rs).  A new process begins with the clock as it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from connectors.shutdown import exit_with_error, started
from flows.process.health import Health
from operators.errors import DedupError

log = logging.getLogger("dedup")

_CHECK_SECONDS = 1.0
# Clocks are slewed by half a millisecond a second; leap seconds are often one step of a second.
_STEP_SECONDS = 0.5
# A restart takes seconds, and minutes where much is restored: a shorter wait is better.
_LONGEST_WAIT_SECONDS = 30.0
# While many records wait, Bytewax goes on to read.  Then there is no reason to end.
_SILENT_SECONDS = 5.0


class ClockSteppedBackError(DedupError):
    """Nothing would be read for long, until the wall clock has caught up."""


class ClockWatch:
    """Compares the wall clock with the latest time that it has shown."""

    def __init__(
        self, health: Health, *, ends: bool, clock: Callable[[], float] = time.time
    ) -> None:
        """ends: whether a new process would go on where this one ends.  clock: the wall clock."""
        self._health = health
        self._ends = ends
        self._clock = clock
        self._latest = clock()
        self._behind = 0.0

    def check(self) -> str | None:
        """Check once: log a step back; return why the process ends, None if it does not."""
        now = self._clock()
        self._latest = max(self._latest, now)
        behind, before = self._latest - now, self._behind
        self._behind = behind
        if behind >= before + _STEP_SECONDS:
            log.warning(
                "the wall clock stepped back by about %.0f s: where few records come, reading goes "
                "on when it has caught up, in %.0f s%s",
                *(behind - before, behind, self._or_sooner(behind)),
            )
        waits_long = behind > _LONGEST_WAIT_SECONDS and self._ends
        if not waits_long or self._health.silent_seconds < _SILENT_SECONDS:
            return None
        return (
            f"the wall clock stepped back, and nothing can be read until it has caught up, in "
            f"{behind:.0f} s: this process ends. Nothing is lost: restart all processes"
        )

    def _or_sooner(self, behind: float) -> str:
        if behind <= _LONGEST_WAIT_SECONDS or not self._ends:
            return ""
        return f"; if nothing is read for {_SILENT_SECONDS:.0f} s, this process ends"


def start_clock_watch(health: Health, *, ends: bool) -> None:
    """Watch the wall clock once the process has met the others, and begins to read."""
    threading.Thread(
        target=_run, args=(ClockWatch(health, ends=ends),), name="clock", daemon=True
    ).start()


def _run(watch: ClockWatch) -> None:
    started.wait()
    while (problem := watch.check()) is None:
        time.sleep(_CHECK_SECONDS)
    exit_with_error(ClockSteppedBackError(problem))
