"""How the job ends: on a signal, at the end of its input, or with one line of error.

Bytewax prints a panic and a traceback for whatever a source or sink raises.  An
error that a user can cause ends the process here instead, with one line: there
is nothing to save, since every restart begins from what was committed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from threading import Event
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

from operators.errors import DedupError

_P = ParamSpec("_P")
_R = TypeVar("_R")
FAILED = 1

stopping = Event()
"""Set by SIGTERM and SIGINT: the sources stop, what is decided is written."""


def stop_on_signals() -> None:
    """Have SIGTERM and SIGINT stop the sources.  Call it in the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def fail(error: DedupError) -> NoReturn:
    """Print one line and end the process at once, threads and all."""
    line = " ".join(str(error).split())
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.write(f"dedup: {line}\n")
    sys.stderr.flush()
    os._exit(FAILED)


def one_line_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a DedupError end the process with one line; anything else is a bug and passes."""

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except DedupError as error:
            fail(error)

    return guarded
