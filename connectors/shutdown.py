"""How the job ends: on a signal, at the end of its input, or with one line of error.

Bytewax prints a panic and a traceback for everything that a source or sink raises.
An error that a user can cause ends the process here instead, with one line.  Nothing
has to be saved: every restart begins from what was committed.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from threading import Event, Lock, Thread
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

from operators.errors import DedupError, SinkError

log = logging.getLogger("dedup")
_P = ParamSpec("_P")
_R = TypeVar("_R")
FAILED = 1

# The whole shutdown may take ten seconds.  Decided records that are not committed by then
# wait for brokers or processes that do not answer: one more second would not help.
_GRACE_SECONDS = 9.0
# The last steps wait for brokers too.  They change nothing that was written.
_LAST_STEPS_SECONDS = 4.0
# Time for the reader of stderr.  The process ends without it, too.
_LAST_LINE_SECONDS = 3.0

stop_requested = Event()
"""Set by SIGTERM and SIGINT: the sources stop, and all decided records are written."""

started = Event()
"""Set once this process has met the others of its cluster and begins to read."""

# A process that reads nothing is asked this often: a stop waits for the question.
_ASK_SECONDS = 0.5

has_peers = Event()
"""Set where the job has several processes: a stop must reach all of them."""

_failing = Lock()
_exiting = Event()
_last_steps: list[tuple[Thread, str]] = []


def stop_on_signals() -> None:
    """Make SIGTERM and SIGINT stop the sources.  Call it in the main thread.

    A handler runs in the main thread, which may be waiting for brokers or for other
    processes.  So a separate thread makes sure that the process ends.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop_requested.set()

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    Thread(target=_end_in_time, args=(reader,), name="signals", daemon=True).start()
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _end_in_time(reader: int) -> None:
    while os.read(reader, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
        pass
    stop_requested.set()
    if not started.is_set():
        # Nothing has been read yet.  The log is written: its handler flushes each line.
        os._exit(0)
    time.sleep(_GRACE_SECONDS)
    exit_with_error(
        SinkError(
            "the job was told to stop, but could not write all decided records within "
            f"{_GRACE_SECONDS:.0f} s: do the brokers answer? Nothing is lost: a restart decides "
            "and writes them again."
        )
    )


class StopQuestions:
    """Tells a source when to ask the other processes whether one was told to stop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic seconds."""
        self._clock = clock
        self._asked = -float("inf")

    def due(self) -> bool:
        """Whether to ask now; a job of one process never asks."""
        now = self._clock()
        if not has_peers.is_set() or now - self._asked < _ASK_SECONDS:
            return False
        self._asked = now
        return True


def run_at_exit(step: Callable[[], object], missed: str) -> None:
    """Run a step when the process ends, at most for a few seconds.

    missed: logged if the step has not finished by then.  Each step has its own thread, so
    that steps can wait at the same time, even forever.  The thread starts here, because
    later versions of Python start none at exit.
    """

    def wait_and_run() -> None:
        _exiting.wait()
        step()

    thread = Thread(target=wait_and_run, name="at-exit", daemon=True)
    thread.start()
    if not _last_steps:
        atexit.register(_run_last_steps)
    _last_steps.append((thread, missed))


def _run_last_steps() -> None:
    _exiting.set()
    deadline = time.monotonic() + _LAST_STEPS_SECONDS
    for thread, _ in _last_steps:
        thread.join(max(0.0, deadline - time.monotonic()))
    for missed in {missed for thread, missed in _last_steps if thread.is_alive()}:
        log.warning("%s", missed)


def exit_with_error(error: DedupError) -> NoReturn:
    """Print one line and end the process at once, with all its threads.

    It ends within a few seconds even where nobody reads stderr, or stderr is gone.
    """
    # Never released: of several threads that fail at the same time, only the first prints.
    _failing.acquire()
    try:
        _print_last_line(" ".join(str(error).split()))
    finally:
        os._exit(FAILED)


def _print_last_line(line: str) -> None:
    """Write the line to stderr on a separate thread: a full pipe that nobody reads blocks.

    The lock of a stream or log handler blocks as well, while its holder waits for such a pipe.
    """
    thread = Thread(target=_write, args=(line,), name="last-line", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the machine has no thread left: better to block than to say nothing
        _write(line)
    else:
        thread.join(_LAST_LINE_SECONDS)


def _write(line: str) -> None:
    # A closed pipe, a full disk, or no stderr (None): the exit status still shows the failure.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"dedup: {line}\n")
        sys.stderr.flush()
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    logging.shutdown()  # suppresses the same


def exit_on_user_error(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a DedupError end the process with one line; any other error is a bug, and passes.

    Such an error is logged first.  Where the process has peers, Bytewax may lose it in the
    panic of a thread that was writing to them.
    """

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except DedupError as error:
            exit_with_error(error)
        except StopIteration:
            raise  # a source says with it that it has ended
        except Exception:
            log.exception("unexpected error: a bug, or a fault of this machine")
            raise

    return guarded
