"""What a drill changes in the job: it kills the process at a named point, and trims more often.

Outside a drill `hit` is one look at a module variable.
"""

from __future__ import annotations

import os
import signal

_SPEC = os.environ.get("DEDUP_TEST_KILL_AT", "")
_NAME, _, _COUNT = _SPEC.partition(":")
_left = int(_COUNT or 1) if _NAME else 0

TRIM_SECONDS = float(os.environ.get("DEDUP_TEST_TRIM_SECONDS") or 30.0)
"""How often a changelog is trimmed.  A drill is over before 30 seconds have passed often."""

POINTS = (
    "before_flush",
    "before_commit",
    "after_commit",
    "in_snapshot",
    "in_restore",
)


def is_armed(name: str) -> bool:
    """Whether the process will be killed the next time it passes a point."""
    return name == _NAME and _left == 1


def hit(name: str) -> None:
    """Pass a point; `DEDUP_TEST_KILL_AT=name:3` kills the process there the third time."""
    global _left  # noqa: PLW0603 - a countdown of this process
    if name == _NAME and _left > 0:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
