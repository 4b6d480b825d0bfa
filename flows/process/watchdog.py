"""Ends a process whose dataflow stands still: a restart is exact, a wait may be endless.

What it is for: another host of the cluster that lost power or was frozen, which
closes no connection, so that this one waits for the end of its epoch; a call into a
library that does not come back.
"""

from __future__ import annotations

import threading
import time

from connectors.shutdown import exit_with_error, started
from flows.process.health import LIVE_SECONDS, RESTORE_SECONDS, Health
from operators.errors import DedupError

_LOOK_SECONDS = 5.0
# Probes act after LIVE_SECONDS, and brokers that are away for longer than a commit is
# tried end the job by themselves: here something else is wrong.
_SILENT_SECONDS = 2.5 * LIVE_SECONDS
# At least once, the end of an epoch may wait for brokers for 330 s, and is followed by
# another at once.
_EPOCH_SECONDS = 900.0
# A worker that is busy, or an epoch that ends late, is not one that stands still.
_EPOCHS = 10


class StandstillError(DedupError):
    """The dataflow has stood still for long."""


class Watchdog:
    """Counts how long nothing has happened, look by look.

    A process that was stopped and continued has not looked meanwhile: that time does
    not count, and it gets its chance to go on.
    """

    def __init__(self, health: Health, epoch_seconds: float, look_seconds: float) -> None:
        """epoch_seconds: how long an epoch is to be.  look_seconds: between two looks."""
        self._health = health
        self._look = look_seconds
        self._longest_epoch = max(_EPOCH_SECONDS, _EPOCHS * epoch_seconds)
        self._seen = (-1.0, -1)
        self._silent = self._epoch = 0.0

    def look(self) -> str | None:
        """Look once; return what is wrong, None if nothing is."""
        liveness = self._health.observer.liveness
        if not self._health.expected:
            self._silent = self._epoch = 0.0
            return None
        last_activity, epochs = liveness.last_activity, liveness.epochs
        self._silent = self._silent + self._look if last_activity == self._seen[0] else 0.0
        self._epoch = self._epoch + self._look if epochs == self._seen[1] else 0.0
        self._seen = (last_activity, epochs)
        silent_limit = _SILENT_SECONDS if epochs else RESTORE_SECONDS
        epoch_limit = self._longest_epoch if epochs else RESTORE_SECONDS
        if self._silent >= silent_limit:
            return f"nothing was read, decided or written for {self._silent:.0f} s"
        if self._epoch >= epoch_limit:
            return f"no epoch has ended for {self._epoch:.0f} s"
        return None


def start_watchdog(health: Health, epoch_seconds: float) -> None:
    """Watch from when this process has met the others; it may wait for them for ever."""
    threading.Thread(
        target=_run,
        args=(Watchdog(health, epoch_seconds, _LOOK_SECONDS),),
        name="watchdog",
        daemon=True,
    ).start()


def _run(watchdog: Watchdog) -> None:
    started.wait()
    while (problem := watchdog.look()) is None:
        time.sleep(_LOOK_SECONDS)
    exit_with_error(
        StandstillError(
            f"{problem}: this process ends. Does another process or host of the cluster stand "
            "still, or do the brokers? Nothing is lost: restart all processes"
        )
    )
