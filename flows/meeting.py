"""The wait for the other processes of a cluster, told of in the log."""

from __future__ import annotations

import logging
import threading

from connectors.ending import begun
from flows.launch import Launch

log = logging.getLogger("dedup")
_FIRST_SECONDS = 3.0
_AGAIN_SECONDS = 30.0


def tell_of_waiting(launch: Launch) -> None:
    """Say now and then that the other processes are waited for, until all have met."""
    if launch.processes > 1:
        threading.Thread(target=_tell, args=(launch,), name="meeting", daemon=True).start()


def _tell(launch: Launch) -> None:
    pause = _FIRST_SECONDS
    while not begun.wait(pause):
        log.info(
            "process %d waits for the other %d of the cluster",
            launch.process,
            launch.processes - 1,
        )
        pause = _AGAIN_SECONDS
