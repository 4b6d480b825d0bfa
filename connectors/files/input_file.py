"""Opens and reads the embedded mode's input, and notices another file with the same name."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from connectors.files.tail import FileTail
from operators.errors import SourceError

STDIN = "-"
_CHUNK_BYTES = 1 << 20
# Names of descriptors that the process inherited, even if a plain file is behind them.
_INHERITED = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/[^/]+/fd/\d+")


def can_be_read_again(file: str) -> bool:
    """Whether a later run can read a file from the middle: not standard input, not a pipe.

    True for a missing file: opening it will say what is wrong.
    """
    if file == STDIN or _INHERITED.fullmatch(os.path.normpath(file)):
        return False
    try:
        mode = Path(file).stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


class InputFile:
    """An open file, or standard input, and the last bytes that were taken from it."""

    def __init__(self, name: str) -> None:
        """name: path, or `-` for standard input.  Raises SourceError."""
        self._name = name
        self._tail = FileTail()
        try:
            if name == STDIN:
                self._descriptor = os.dup(sys.stdin.fileno())
                return
            # Opening a FIFO without a writer would block, and with it signals.  `read` waits
            # for its first writer instead.
            no_wait = os.O_NONBLOCK if Path(name).is_fifo() else 0
            self._descriptor = os.open(name, os.O_RDONLY | no_wait)
            os.set_blocking(self._descriptor, True)
            if stat.S_ISDIR(os.fstat(self._descriptor).st_mode):
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
        except OSError as error:
            msg = f"cannot open DEDUP_INPUT_FILE={name}: {error.strerror}"
            raise SourceError(msg) from error

    def resume(self, byte: int, tail: bytes) -> None:
        """Go to the byte where an earlier run stopped.

        tail: the value of `tail` at that byte.  Raises SourceError if the file is another one.
        """
        size = os.fstat(self._descriptor).st_size
        try:
            self._tail = FileTail.read(self._descriptor, byte)
            os.lseek(self._descriptor, byte, os.SEEK_SET)
        except OSError as error:
            raise self._cannot_read(error) from error
        if size < byte:
            difference = f"has {size} bytes, but {byte} had been read"
        elif tail != self.tail:
            difference = f"has other lines before byte {byte} than had been read"
        else:
            return
        msg = (
            f"DEDUP_INPUT_FILE={self._name} {difference}: it is another file. Give the old one, or "
            "begin again with another recovery directory and output folder."
        )
        raise SourceError(msg)

    def read(self) -> bytes | None:
        """Read the next bytes: empty at the end, None if a pipe has none now."""
        # Waiting for an empty pipe would keep the worker from a signal.
        if not select.select([self._descriptor], [], [], 0)[0]:
            return None
        try:
            return os.read(self._descriptor, _CHUNK_BYTES)
        except OSError as error:
            raise self._cannot_read(error) from error

    def taken(self, lines: Sequence[bytes]) -> None:
        """Note the lines that were taken from the file."""
        self._tail.add_lines(lines)

    @property
    def tail(self) -> bytes:
        """Hash of the last bytes taken: another file has other bytes there."""
        return self._tail.hash

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _cannot_read(self, error: OSError) -> SourceError:
        return SourceError(f"cannot read DEDUP_INPUT_FILE={self._name}: {error.strerror}")
