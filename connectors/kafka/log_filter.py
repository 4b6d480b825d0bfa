"""Keeps a client's log readable: clients repeat a message many times a second."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

# The client, thread and broker connection that log a message, and its counts and durations.
_VARYING = re.compile(r"\[[^\]]*\]|\d+ms|\d+ identical error\(s\) suppressed")
_MAX_MESSAGES = 1000
# Fatal errors and errors of transactions: the call raises them, and its caller logs them.
_RAISED = frozenset(("FATAL", "TXNERR", "ADDPARTS"))


class RepeatFilter(logging.Filter):
    """Drops a message that was logged within the last `seconds`.

    The next such message says how many were dropped.
    """

    def __init__(self, clock: Callable[[], float], seconds: float = 10.0) -> None:
        """clock: monotonic seconds.  seconds: how long a message is not repeated."""
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._logged: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record; adds to its message how many were dropped."""
        message = record.getMessage()
        kind, now = _VARYING.sub("", message), self._clock()
        logged_at, dropped = self._logged.get(kind, (-self._seconds, 0))
        if now - logged_at < self._seconds:
            self._logged[kind] = logged_at, dropped + 1
            return False
        if len(self._logged) >= _MAX_MESSAGES:
            self._logged.clear()
        self._logged[kind] = now, 0
        if dropped:
            record.msg, record.args = f"{message} ({dropped} more of these)", ()
        return True


class RaisedErrorFilter(logging.Filter):
    """Makes a client's message a debug message if its call raises the same error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record.  Its first argument is librdkafka's facility."""
        if not isinstance(record.args, tuple) or not record.args or record.args[0] not in _RAISED:
            return True
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
