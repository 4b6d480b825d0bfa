"""A file, or standard input, as a source of JSON lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.files.input_file import InputFile
from connectors.shutdown import StopQuestions, exit_on_user_error, started, stop_requested
from operators.batches import FILE, Batch, Records, Span
from operators.errors import SourceError
from operators.keys.canonical_json import is_json_object
from operators.monitoring.liveness import Liveness
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer

# A batch of this many short lines is still cheap to decide and to hold.
_MAX_LINES = 10_000
_POLL_SECONDS = 0.01
# librdkafka takes no larger record by default.  A file without newlines must not fill the memory.
_MAX_LINE_BYTES = 100_000_000
log = logging.getLogger("dedup.source")


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where to go on in a file.

    line: number of the next line, from 0.  byte: where it begins.  open_line: the last line
    had no newline; a newline that was added since ends that line.  tail: hash of the last
    bytes before `byte`, 4096 at most; another file has other bytes there.
    """

    line: int = 0
    byte: int = 0
    open_line: bool = False
    tail: bytes = b""


class _Reading(NamedTuple):
    """How a file is read.

    resumable: whether a later run may go on.  clock: wall clock.  liveness: notes activity.
    """

    resumable: bool
    clock: Callable[[], float]
    liveness: Liveness


class _FilePartition(StatefulSourcePartition[Batch, FilePosition]):
    """One file, or standard input, cut into batches of lines."""

    def __init__(
        self, file: InputFile, name: str, position: FilePosition, reading: _Reading
    ) -> None:
        self._file = file
        self._name = name
        self._position = position
        self._resumable, self._clock, self._liveness = reading
        # A line that has not ended yet, in pieces: joining each piece at once would copy a
        # long line many times.
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._lines: list[bytes] = []
        self._ended = False
        self._had_lines = True
        self._questions = StopQuestions()
        self._liveness.source_opened()

    @exit_on_user_error
    def next_batch(self) -> Sequence[Batch]:
        """Return a batch of lines; blank lines are skipped, but counted."""
        if self._ended or stop_requested.is_set():
            raise StopIteration
        self._liveness.note_activity()
        batches = self._read_batch()
        return (*batches, Batch.asking()) if self._questions.due() else batches

    def _read_batch(self) -> Sequence[Batch]:
        at_end = False if self._lines else self._read()
        lines, self._lines = self._lines[:_MAX_LINES], self._lines[_MAX_LINES:]
        self._had_lines = bool(lines)
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
        self._file.taken(lines)
        span = Span(
            partition=FILE,
            start=start,
            end=self._position.line,
            read_at=self._clock(),
            ended=self._ended,
        )
        records = Records(np.array(rows, np.int64) + start, values)
        return (Batch.of(span, records, (FILE,)),)

    def _read(self) -> bool:
        """Read the next lines into `_lines`; return True at the end of the file."""
        while not self._lines:
            chunk = self._file.read()
            if chunk is None:
                return False
            if not chunk:
                self._lines = self._last_line()
                return True
            self._take(chunk)
        return False

    def _take(self, chunk: bytes) -> None:
        """Cut a chunk into lines."""
        cut = chunk.rfind(b"\n") + 1
        if cut:
            text = b"".join((*self._pieces, chunk[:cut]))
            self._pieces, self._pieces_bytes = [], 0
            if self._position.open_line:
                text = self._close_line(text)
            self._lines = [line + b"\n" for line in text.split(b"\n")[:-1]]
        rest = chunk[cut:]
        self._pieces.append(rest)
        self._pieces_bytes += len(rest)
        if self._position.open_line and not _blank(rest):
            raise self._line_has_grown()
        if self._pieces_bytes > _MAX_LINE_BYTES:
            position = self._position
            msg = (
                f"DEDUP_INPUT_FILE={self._name}: line {position.line + len(self._lines) + 1} has "
                f"more than {_MAX_LINE_BYTES:,} bytes. Is it a file of JSON lines?"
            )
            raise SourceError(msg)

    def _close_line(self, text: bytes) -> bytes:
        """Take the newline that was added after the last answered line."""
        end = text.index(b"\n") + 1
        if not _blank(text[:end]):
            raise self._line_has_grown()
        self._position = FilePosition(self._position.line, self._position.byte + end)
        self._file.taken([text[:end]])
        return text[end:]

    def _line_has_grown(self) -> SourceError:
        position = self._position
        return SourceError(
            f"DEDUP_INPUT_FILE={self._name}: line {position.line} had no newline and was answered "
            f"as it was, but now it goes on at byte {position.byte}. Put a newline there, or begin "
            "again with another recovery directory and output folder."
        )

    def _last_line(self) -> list[bytes]:
        """Return the bytes after the last newline of the file, if they are a line."""
        rest = b"".join(self._pieces)
        self._pieces = []
        if not rest or self._position.open_line:
            return []
        if self._resumable and not is_json_object(rest):
            # Its writer may still be writing it.
            if not _blank(rest):
                log.warning(
                    "DEDUP_INPUT_FILE=%s: line %d, the last one, has no newline and is no JSON "
                    "object: it is left to a later run, which may find the whole line",
                    self._name,
                    self._position.line + 1,
                )
            return []
        return [rest]

    def next_awake(self) -> datetime | None:
        """Read again at once while there are lines, else after a short pause."""
        if self._had_lines or self._ended or stop_requested.is_set():
            return None
        return datetime.now(timezone.utc) + timedelta(seconds=_POLL_SECONDS)

    @exit_on_user_error
    def snapshot(self) -> FilePosition:
        """Return the line and byte to go on from."""
        self._liveness.epoch_ended()
        return replace(self._position, tail=self._file.tail)

    def close(self) -> None:
        """Close the file."""
        self._liveness.source_ended()
        self._file.close()


def _blank(line: bytes) -> bool:
    return not line.strip(b" \t\r\n")


class LinesSource(FixedPartitionedSource[Batch, FilePosition]):
    """Reads JSON lines from a file or standard input, as partition 0.

    A line ends at a newline; the last line may lack it.  Blank lines are skipped but counted,
    since offsets are line numbers from 0.  If later runs go on in the file, they get a last
    line that has no newline and is no JSON object: it may be half a line.
    """

    def __init__(
        self,
        file: str,
        *,
        resumable: bool = False,
        clock: Callable[[], float] = time.time,
        observer: Observer | None = None,
    ) -> None:
        """file: path, or `-` for standard input.  resumable: whether a later run may go on.

        clock: wall clock, epoch seconds.  observer: receives progress.
        """
        self._file = file
        self._resumable = resumable
        self._observer = observer or Observer(Metrics())
        self._clock = clock

    def list_parts(self) -> list[str]:
        """Name the only partition."""
        started.set()
        return ["0"]

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: FilePosition | None
    ) -> _FilePartition:
        """Open the file at the snapshot's position."""
        del step_id, for_part
        position = resume_state or FilePosition()
        file = InputFile(self._file)
        if position.byte:
            file.resume(position.byte, position.tail)
        return _FilePartition(
            file,
            self._file,
            position,
            _Reading(self._resumable, self._clock, self._observer.liveness),
        )
