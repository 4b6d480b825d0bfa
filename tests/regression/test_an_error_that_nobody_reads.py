"""A process that fails ends, also where its stderr is gone or nobody reads it.

An error that could not be printed left the lock of `fail` taken: the process, and the thread
that failed next in it, waited forever.
"""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

# Python takes a second or two to start, last words have three; what hangs takes for ever.
_SECONDS = 30.0
# What is printed stays in a buffer.
_BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

_FAILS_TWICE = """
    import threading, time
    from connectors.shutdown import exit_with_error
    from operators.errors import SinkError

    print("something is left in the buffer of stdout")
    threading.Thread(target=exit_with_error, args=(SinkError("refused"),)).start()
    time.sleep(0.5)
    exit_with_error(SinkError("the lane's thread has failed"))
"""
_FAILS_WHILE_LOGGING = """
    import logging, threading, time
    from connectors.shutdown import exit_with_error
    from flows.process.logs import set_up_logging
    from operators.errors import SinkError

    set_up_logging("text", "info")
    threading.Thread(target=logging.getLogger("dedup").info, args=("x",), daemon=True).start()
    time.sleep(0.5)
    exit_with_error(SinkError("refused"))
"""


@contextmanager
def _gone() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def _full() -> Iterator[int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    for one in (reader, writer):
        os.close(one)


_Pipe = Callable[[], AbstractContextManager[int]]


def _ends(program: str, *, stdout: int | None, stderr: int | None) -> int:
    """Run a program until it ends by itself; None closes a stream."""

    def close() -> None:
        for number, stream in ((1, stdout), (2, stderr)):
            if stream is None:
                os.close(number)

    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=stdout,
        stderr=stderr,
        env=_BUFFERED,
        preexec_fn=close,
        timeout=_SECONDS,
        check=False,
    )
    return ended.returncode


@pytest.mark.parametrize("program", [_FAILS_TWICE, _FAILS_WHILE_LOGGING])
@pytest.mark.parametrize("pipe", [_gone, _full])
def test_stderr(pipe: _Pipe, program: str) -> None:
    with pipe() as stderr:
        assert _ends(program, stdout=subprocess.DEVNULL, stderr=stderr) == 1


def test_stderr_that_was_closed() -> None:
    assert _ends(_FAILS_TWICE, stdout=subprocess.DEVNULL, stderr=None) == 1


@pytest.mark.parametrize("pipe", [_gone, _full])
def test_stdout_does_not_keep_the_line_back(pipe: _Pipe) -> None:
    with pipe() as stdout:
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_FAILS_TWICE)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=_BUFFERED,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "dedup: refused\n")


def test_a_signal_while_the_log_waits_for_a_reader() -> None:
    program = """
        import logging
        from connectors.shutdown import stop_on_signals
        from flows.process.logs import set_up_logging

        set_up_logging("text", "info")
        stop_on_signals()
        print("ready", flush=True)
        logging.getLogger("dedup").info("x")
    """
    with (
        _full() as stderr,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(_SECONDS) == 0
        finally:
            process.kill()
