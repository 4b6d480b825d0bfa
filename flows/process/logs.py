"""The log on stderr, as text or JSON, with a progress line once a minute."""

from __future__ import annotations

import atexit
import json
import logging
import sys
import threading
import time
from typing import Literal

from operators.monitoring.observer import Observer

log = logging.getLogger("dedup")
_PROGRESS_SECONDS = 60.0


class _JsonFormatter(logging.Formatter):
    """Writes one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record with its extra fields."""
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "figures", {}))
        return json.dumps(line)


def set_up_logging(kind: Literal["text", "json"], level: str) -> None:
    """Write the log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter()
        if kind == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger("dedup")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level.upper())


class ProgressLog:
    """Logs a progress line once a minute, and one at the end."""

    def __init__(self, observer: Observer) -> None:
        """observer: knows the counts."""
        self._observer = observer
        self._began = self._last = time.monotonic()
        self._last_processed = 0

    def start(self) -> None:
        """Begin to log; the last line is logged when the process ends."""
        thread = threading.Thread(target=self._run, name="progress-log", daemon=True)
        thread.start()
        atexit.register(self.line, final=True)

    def _run(self) -> None:
        while True:
            time.sleep(_PROGRESS_SECONDS)
            self.line()

    def line(self, *, final: bool = False) -> None:
        """Log the counts; the rate is that since the last line, at the end of the whole run."""
        observer = self._observer
        now = time.monotonic()
        processed = observer.processed
        since, before = (self._began, 0) if final else (self._last, self._last_processed)
        rate = (processed - before) / max(now - since, 1e-9)
        self._last, self._last_processed = now, processed
        counts = dict(observer.counts)
        lag = observer.lag
        keys = sum(observer.keys_held.values())
        shares = ", ".join(
            f"{verdict} {count} ({count / max(processed, 1):.1%})"
            for verdict, count in counts.items()
        )
        log.info(
            "%d records processed: %s; %.0f records/s; lag %s; %d keys held",
            processed,
            shares,
            rate,
            "unknown" if lag is None else f"{lag} records",
            keys,
            extra={
                "figures": {
                    "processed": processed,
                    **counts,
                    "rate": round(rate, 1),
                    "lag": lag,
                    "keys": keys,
                }
            },
        )
