"""Progress on a terminal: one line on stderr that is written over, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from typing_extensions import Self

# Often enough to look alive, seldom enough to cost nothing.
_EVERY_SECONDS = 0.2


class Progress:
    """Counts up to a total; as a context manager it wipes its line at the end.

    title: what is being done.  total: how many there will be, 0 if that is not known.
    """

    def __init__(self, title: str, total: int = 0) -> None:
        self._title = title
        self._total = total
        self._count = 0
        self._shown_at = 0.0
        self._wanted = sys.stderr.isatty()

    def add(self, count: int) -> None:
        """Count some more, and show it if the last time was a while ago."""
        self._count += count
        if self._wanted and time.monotonic() - self._shown_at >= _EVERY_SECONDS:
            share = f" of {self._total:,}" if self._total else ""
            print(f"\r{self._title}: {self._count:,}{share}\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()
            self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown_at:
            print("\r\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()
