"""Failpoints for drills: they kill the process at a named point.

Outside a drill `hit` only compares a module variable.
"""

from __future__ import annotations

import os
import signal

_SPEC = os.environ.get("DEDUP_TEST_KILL_AT", "")
_NAME, _, _COUNT = _SPEC.partition(":")
_left = int(_COUNT or 1) if _NAME else 0

TRIM_SECONDS = float(os.environ.get("DEDUP_TEST_TRIM_SECONDS") or 30.0)
"""How often a changelog is trimmed.  Drills are short, so they trim more often."""

POINTS = (
    "before_flush",
    "before_commit",
    "after_commit",
    "in_snapshot",
    "in_restore",
)


def is_armed(name: str) -> bool:
    """Whether the next `hit` of this point kills the process."""
    return name == _NAME and _left == 1


def hit(name: str) -> None:
    """Pass a failpoint; `DEDUP_TEST_KILL_AT=name:3` kills the process at the third pass."""
    global _left  # noqa: PLW0603 - a countdown of this process
    if name == _NAME and _left > 0:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
