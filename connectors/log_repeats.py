"""Keeps a client's log readable while brokers are away: it says the same many times a second."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

# Which client, thread and broker connection says it, and how often or how long.
_WHO = re.compile(r"\[[^\]]*\]|\d+ms|\d+ identical error\(s\) suppressed")
_MOST = 1000


class Repeats(logging.Filter):
    """Lets a message pass that no client has logged for some seconds; counts the others."""

    def __init__(self, clock: Callable[[], float], seconds: float = 10.0) -> None:
        """clock: seconds that never go back.  seconds: how long a message is not repeated."""
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._said: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be logged; it is told how many like it were not."""
        message = record.getMessage()
        what, now = _WHO.sub("", message), self._clock()
        said, hidden = self._said.get(what, (-self._seconds, 0))
        if now - said < self._seconds:
            self._said[what] = said, hidden + 1
            return False
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said[what] = now, 0
        if hidden:
            record.msg, record.args = f"{message} ({hidden} more of these)", ()
        return True
