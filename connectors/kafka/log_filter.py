"""Keeps a client's log readable: it says the same many times a second, and what we say too."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

# Which client, thread and broker connection says it, and how often or how long.
_WHO = re.compile(r"\[[^\]]*\]|\d+ms|\d+ identical error\(s\) suppressed")
_MOST = 1000
# A fatal error, or one of a transaction: whoever called is told, and says it in one line.
_TOLD = frozenset(("FATAL", "TXNERR", "ADDPARTS"))


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


class Told(logging.Filter):
    """Lets what a client says of an error that its call raises pass for debugging only."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be logged.  Its first argument is librdkafka's facility."""
        if not isinstance(record.args, tuple) or not record.args or record.args[0] not in _TOLD:
            return True
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
