"""A file, or standard input, as a source of JSON lines."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.ending import begun, one_line_errors, stopping
from operators.batches import Batch, Records, Span
from operators.errors import SourceError
from operators.metrics import Metrics
from operators.observing import Observer
from operators.pulse import Pulse

STDIN = "-"
_CHUNK_BYTES = 1 << 20
# A batch of short lines is still cheap to decide and to hold.
_MOST_LINES = 10_000
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where to go on in a file.

    line: number of the next line, from 0.  byte: where it begins.  open_line: the
    last line had no newline yet; if the file has grown by one, it ends that line.
    """

    line: int = 0
    byte: int = 0
    open_line: bool = False


class _LinesPartition(StatefulSourcePartition[Batch, FilePosition]):
    """One file, or standard input, cut into batches of lines."""

    def __init__(
        self,
        descriptor: int,
        name: str,
        position: FilePosition,
        clock: Callable[[], float],
        pulse: Pulse,
    ) -> None:
        self._descriptor = descriptor
        self._name = name
        self._clock = clock
        self._position = position
        self._rest = b""
        self._lines: list[bytes] = []
        self._ended = False
        self._found = True
        self._pulse = pulse
        pulse.source_opened()

    @one_line_errors
    def next_batch(self) -> Sequence[Batch]:
        """Read some lines; blank ones are left out, but counted."""
        if self._ended or stopping.is_set():
            raise StopIteration
        self._pulse.beat()
        at_end = False if self._lines else self._read()
        lines, self._lines = self._lines[:_MOST_LINES], self._lines[_MOST_LINES:]
        self._found = bool(lines)
        self._ended = at_end and not self._lines
        if not lines and not self._ended:
            return ()
        position = self._position
        start = position.line
        rows = [row for row, line in enumerate(lines) if not _blank(line)]
        values = [lines[row].removesuffix(b"\n") for row in rows]
        self._position = FilePosition(
            line=start + len(lines),
            byte=position.byte + sum(map(len, lines)),
            open_line=not lines[-1].endswith(b"\n") if lines else position.open_line,
        )
        span = Span(
            partition=0,
            partitions=1,
            start=start,
            end=self._position.line,
            read_at=self._clock(),
            ended=self._ended,
        )
        records = Records(np.array(rows, np.int64) + start, values)
        return (Batch.of(span, records),)

    def _read(self) -> bool:
        """Read what there is into `_lines`; True at the end of the file."""
        while not self._lines:
            # A pipe with nothing in it must not keep the worker from a signal.
            if not select.select([self._descriptor], [], [], 0)[0]:
                return False
            try:
                chunk = os.read(self._descriptor, _CHUNK_BYTES)
            except OSError as error:
                msg = f"cannot read DEDUP_INPUT_FILE={self._name}: {error.strerror}"
                raise SourceError(msg) from error
            if not chunk:
                self._lines = [self._rest] if self._rest else []
                self._rest = b""
                return True
            if self._position.open_line:
                chunk = self._close_line(chunk)
            text = self._rest + chunk
            cut = text.rfind(b"\n") + 1
            self._rest = text[cut:]
            self._lines = [line + b"\n" for line in text[:cut].split(b"\n")[:-1]]
        return False

    def _close_line(self, chunk: bytes) -> bytes:
        """Take the newline that a grown file has put behind the last line read."""
        rest = chunk.removeprefix(b"\n")
        position = self._position
        self._position = FilePosition(position.line, position.byte + len(chunk) - len(rest))
        return rest

    def next_awake(self) -> datetime | None:
        """Ask again at once while there are lines, else after a short rest."""
        if self._found or self._ended or stopping.is_set():
            return None
        return datetime.now(timezone.utc) + timedelta(seconds=_POLL_SECONDS)

    @one_line_errors
    def snapshot(self) -> FilePosition:
        """Line and byte to go on from."""
        self._pulse.epoch_ended()
        return self._position

    def close(self) -> None:
        """Close the file."""
        self._pulse.source_ended()
        os.close(self._descriptor)


def _blank(line: bytes) -> bool:
    return not line.strip(b" \t\r\n")


class LinesSource(FixedPartitionedSource[Batch, FilePosition]):
    """Reads JSON lines from a file or standard input, as partition 0.

    A line ends at a newline (the last one may lack it); blank lines are skipped
    but counted, since offsets are line numbers from 0.
    """

    def __init__(
        self,
        file: str,
        *,
        clock: Callable[[], float] = time.time,
        observer: Observer | None = None,
    ) -> None:
        """file: path, or `-` for standard input.  clock: wall clock, epoch seconds.

        observer: is told of progress.
        """
        self._file = file
        self._observer = observer or Observer(Metrics())
        self._clock = clock

    def list_parts(self) -> list[str]:
        """Name the only partition."""
        begun.set()
        return ["0"]

    @one_line_errors
    def build_part(
        self, step_id: str, for_part: str, resume_state: FilePosition | None
    ) -> _LinesPartition:
        """Open the file where the snapshot left off."""
        del step_id, for_part
        position = resume_state or FilePosition()
        try:
            if self._file == STDIN:
                descriptor = os.dup(sys.stdin.fileno())
            else:
                descriptor = os.open(self._file, os.O_RDONLY)
                size = os.fstat(descriptor).st_size
                if size < position.byte:
                    msg = (
                        f"DEDUP_INPUT_FILE={self._file} has {size} bytes, but {position.byte} had "
                        "been read: it is another file. Give the old one, or begin anew with "
                        "another recovery directory and output folder."
                    )
                    raise SourceError(msg)
                if position.byte:
                    os.lseek(descriptor, position.byte, os.SEEK_SET)
                elif stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    raise IsADirectoryError(errno.EISDIR, "it is a folder")
        except OSError as error:
            msg = f"cannot open DEDUP_INPUT_FILE={self._file}: {error.strerror}"
            raise SourceError(msg) from error
        return _LinesPartition(descriptor, self._file, position, self._clock, self._observer.pulse)
