"""How the job ends: on a signal, at the end of its input, or with one line of error.

Bytewax prints a panic and a traceback for whatever a source or sink raises.  An
error that a user can cause ends the process here instead, with one line: there
is nothing to save, since every restart begins from what was committed.
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

# The whole end may take ten; what is decided is not committed then because brokers
# or other processes do not answer, and would not be in eleven either.
_GRACE_SECONDS = 9.0
# What is left for the end waits for brokers too, and changes nothing that was written.
_LAST_STEPS_SECONDS = 4.0
# Time for whoever reads stderr; the end does not depend on it.
_LAST_WORDS_SECONDS = 3.0

stop_requested = Event()
"""Set by SIGTERM and SIGINT: the sources stop, what is decided is written."""

started = Event()
"""Set once this process has met the others of its cluster and reads."""

_failing = Lock()
_exiting = Event()
_last_steps: list[tuple[Thread, str]] = []


def stop_on_signals() -> None:
    """Have SIGTERM and SIGINT stop the sources.  Call it in the main thread.

    A handler runs in the main thread, which may be waiting for brokers or for the
    other processes: a thread of its own sees to it that the process ends.
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
        # Nothing has been read yet.  What was logged is written: the handler flushes each line.
        os._exit(0)
    time.sleep(_GRACE_SECONDS)
    exit_with_error(
        SinkError(
            f"told to stop, but what was decided could not be written within {_GRACE_SECONDS:.0f} "
            "s: do the brokers answer? Nothing is lost: it is done again after a restart."
        )
    )


def run_at_exit(step: Callable[[], object], missed: str) -> None:
    """Have a step done when the process ends, whatever becomes of it.

    missed: logged if it is not done within some seconds; then the process ends without.
    Each step has a thread of its own: they may wait at the same time, for ever if need be.
    Later versions of Python do not begin any at exit: so it begins here.
    """

    def wait_and_do() -> None:
        _exiting.wait()
        step()

    thread = Thread(target=wait_and_do, name="at-exit", daemon=True)
    thread.start()
    if not _last_steps:
        atexit.register(_do_last_steps)
    _last_steps.append((thread, missed))


def _do_last_steps() -> None:
    _exiting.set()
    deadline = time.monotonic() + _LAST_STEPS_SECONDS
    for thread, _ in _last_steps:
        thread.join(max(0.0, deadline - time.monotonic()))
    for missed in {missed for thread, missed in _last_steps if thread.is_alive()}:
        log.warning("%s", missed)


def exit_with_error(error: DedupError) -> NoReturn:
    """Print one line and end the process at once, threads and all.

    It ends within some seconds also where nobody reads stderr, or where stderr is gone.
    """
    _failing.acquire()  # for ever: of several that fail at a time the first is heard
    try:
        _say(" ".join(str(error).split()))
    finally:
        os._exit(FAILED)


def _say(line: str) -> None:
    """Write the line to stderr, on a thread of its own: a full pipe that nobody reads blocks.

    So does the lock of a stream or log handler whose holder waits for such a pipe.
    """
    thread = Thread(target=_write, args=(line,), name="last-words", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the machine gives no more threads: better said here than not at all
        _write(line)
    else:
        thread.join(_LAST_WORDS_SECONDS)


def _write(line: str) -> None:
    # A closed pipe, a full disk, or no stderr at all (None): the status still says it.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"dedup: {line}\n")
        sys.stderr.flush()
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    logging.shutdown()  # suppresses the same


def exit_on_user_error(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a DedupError end the process with one line; anything else is a bug, and passes.

    It is logged before: where the process has peers, Bytewax forgets it over the panic of
    a thread that wrote to them.
    """

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except DedupError as error:
            exit_with_error(error)
        except StopIteration:
            raise  # how a source says that it has ended
        except Exception:
            log.exception("not to be expected: a bug, or something about this machine")
            raise

    return guarded
