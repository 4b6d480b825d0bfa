"""Progress on a terminal: one line on stderr, overwritten; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from typing_extensions import Self

# Often enough to look alive, rarely enough to cost nothing.
_UPDATE_SECONDS = 0.2


class Progress:
    """Counts up to a total.  As a context manager, it clears its line at the end.

    title: names the work.  total: the final count; 0 if it is not known.
    """

    def __init__(self, title: str, total: int = 0) -> None:
        self._title = title
        self._total = total
        self._count = 0
        self._shown_at = 0.0
        self._on_terminal = sys.stderr.isatty()

    def add(self, count: int) -> None:
        """Add to the count; show it unless it was shown a moment ago."""
        self._count += count
        if self._on_terminal and time.monotonic() - self._shown_at >= _UPDATE_SECONDS:
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
