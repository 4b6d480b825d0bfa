"""Ends a process whose dataflow stands still: a restart is exact, waiting may never end.

Two things make a dataflow stand still.  Another host of the cluster lost power or was frozen:
it closes no connection, so this process waits for the end of its epoch.  Or a call into a
library does not return.
"""

from __future__ import annotations

import threading
import time

from connectors.shutdown import exit_with_error, started
from flows.process.health import LIVE_SECONDS, RESTORE_SECONDS, Health
from operators.errors import DedupError

_CHECK_SECONDS = 5.0
# Probes act after LIVE_SECONDS, and brokers that are away for longer than a commit is retried
# end the job by themselves.  After this time something else is wrong.
_SILENT_SECONDS = 2.5 * LIVE_SECONDS
# With at_least_once, the end of an epoch may wait 330 s for brokers, and the next epoch may
# end right after it.
_EPOCH_SECONDS = 900.0
# A busy worker or a late epoch is not a stall, so allow ten epochs.
_EPOCHS = 10


class StandstillError(DedupError):
    """The dataflow has stood still for too long."""


class Watchdog:
    """Counts the seconds without activity, and without the end of an epoch, by checks.

    A process that was stopped and continued has made no checks meanwhile: that time does not
    count, so it gets its chance to go on.
    """

    def __init__(self, health: Health, epoch_seconds: float, check_seconds: float) -> None:
        """epoch_seconds: configured length of an epoch.  check_seconds: between two checks."""
        self._health = health
        self._check_seconds = check_seconds
        self._max_epoch_seconds = max(_EPOCH_SECONDS, _EPOCHS * epoch_seconds)
        self._last_activity, self._progress = -1.0, (-1, -1)
        self._silent_seconds = self._epoch_seconds = 0.0

    def check(self) -> str | None:
        """Check once; return what is wrong, None if nothing is."""
        liveness = self._health.observer.liveness
        if not self._health.is_activity_expected:
            self._silent_seconds = self._epoch_seconds = 0.0
            return None
        last_activity, epochs = liveness.last_activity, liveness.epochs
        # Lanes that wait for brokers say so; the epoch that waits for them is no standstill.
        progress = (epochs, liveness.outages)
        self._silent_seconds += self._check_seconds
        self._epoch_seconds += self._check_seconds
        if last_activity != self._last_activity:
            self._silent_seconds = 0.0
        if progress != self._progress:
            self._epoch_seconds = 0.0
        self._last_activity, self._progress = last_activity, progress
        if self._silent_seconds >= (_SILENT_SECONDS if epochs else RESTORE_SECONDS):
            return f"nothing was read, decided or written for {self._silent_seconds:.0f} s"
        if self._epoch_seconds >= (self._max_epoch_seconds if epochs else RESTORE_SECONDS):
            return f"no epoch has ended for {self._epoch_seconds:.0f} s"
        return None


def start_watchdog(health: Health, epoch_seconds: float) -> None:
    """Watch the process once it has met the others: before that it may wait forever."""
    threading.Thread(
        target=_run,
        args=(Watchdog(health, epoch_seconds, _CHECK_SECONDS),),
        name="watchdog",
        daemon=True,
    ).start()


def _run(watchdog: Watchdog) -> None:
    started.wait()
    while (problem := watchdog.check()) is None:
        time.sleep(_CHECK_SECONDS)
    exit_with_error(
        StandstillError(
            f"{problem}: this process ends. Does another process or host of the cluster stand "
            "still, or do the brokers? Nothing is lost: restart all processes"
        )
    )
