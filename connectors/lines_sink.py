"""Files as a sink: one file of JSON lines for each verdict, exact through kill -9."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.ending import one_line_errors
from operators.encode import Output
from operators.errors import SinkError
from operators.observing import Observer
from operators.verdicts import VERDICTS

_PARTITION = "files"
_MARKER = ".begun-with"

Lengths: TypeAlias = dict[str, int]
"""File name → bytes that belong to the snapshot."""


@dataclass(frozen=True, slots=True)
class LinesSinkSettings:
    """Where to write.

    folder: made if it is not there.  lanes: how many outputs a batch of input has.
    recovery: the recovery directory, None without.
    """

    folder: Path
    lanes: int
    recovery: Path | None


class _LinesPartition(StatefulSinkPartition[Output, Lengths]):
    """The four files.  Lines keep the order of the input, however many lanes there are."""

    def __init__(
        self, settings: LinesSinkSettings, resume: Lengths | None, observer: Observer
    ) -> None:
        self._settings = settings
        self._observer = observer
        # The outputs of one input batch, by its number, until all lanes have answered:
        # every lane gets a slice of every batch, so that they number them alike.
        self._waiting: dict[int, list[Output]] = {}
        try:
            self._files = self._open(resume)
        except OSError as error:
            raise _cannot_write(settings.folder, error) from error

    def _open(self, resume: Lengths | None) -> list[int]:
        folder = self._settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{verdict}.jsonl" for verdict in VERDICTS]
        if resume is None:
            self._begin(names)
        files = []
        for name in names:
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o644)
            wanted = 0 if resume is None else resume[name]
            size = os.fstat(descriptor).st_size
            if size < wanted:
                msg = (
                    f"{folder / name} has {size} bytes, but {wanted} had been written when the "
                    "recovery snapshot was made. Put the file back, or begin anew with another "
                    "recovery directory and output folder."
                )
                raise SinkError(msg)
            # What was written after the snapshot will be written again.
            os.ftruncate(descriptor, wanted)
            os.lseek(descriptor, wanted, os.SEEK_SET)
            files.append(descriptor)
        return files

    def _begin(self, names: list[str]) -> None:
        """A run without a snapshot: files that are there are not ours to overwrite.

        With recovery, a run may have been killed before its first snapshot: the
        marker names the recovery directory that the files were begun with.  Where
        that one has no snapshot, they are begun again.
        """
        folder, recovery = self._settings.folder, self._settings.recovery
        marker = folder / _MARKER
        if recovery is not None:
            identity = f"{recovery.resolve()} {recovery.stat().st_ino}\n"
            if marker.exists() and marker.read_text() == identity:
                return
        there = [name for name in names if (folder / name).exists()]
        if there:
            msg = (
                f"{folder / there[0]} is there already and would be overwritten: move it away, "
                "or set DEDUP_OUTPUT_DIR to another folder"
            )
            raise SinkError(msg)
        if recovery is not None:
            marker.write_text(identity)

    @one_line_errors
    def write_batch(self, values: list[Output]) -> None:
        """Write what is whole, in the order of the input."""
        for output in values:
            parts = self._waiting.setdefault(output.number, [])
            parts.append(output)
            lanes = {part.lane: part.parts for part in parts}
            if len(lanes) == self._settings.lanes and len(parts) == sum(lanes.values()):
                del self._waiting[output.number]
                self._write(parts)

    def _write(self, parts: list[Output]) -> None:
        for verdict, descriptor in enumerate(self._files):
            lines = sorted(
                (offset, value or b"")
                for part in parts
                if part.verdict == verdict
                for offset, value in zip(
                    part.records.offsets.tolist(), part.records.values, strict=True
                )
            )
            if lines:
                text = b"".join(value + b"\n" for _, value in lines)
                try:
                    _write_all(descriptor, text)
                except OSError as error:
                    raise _cannot_write(self._settings.folder, error) from error
        self._observer.written(parts, time.time())

    @one_line_errors
    def snapshot(self) -> Lengths:
        """Lengths of the files, once what they hold is on the disk."""
        try:
            for descriptor in self._files:
                os.fsync(descriptor)
        except OSError as error:
            raise _cannot_write(self._settings.folder, error) from error
        return {
            f"{verdict}.jsonl": os.lseek(descriptor, 0, os.SEEK_CUR)
            for verdict, descriptor in zip(VERDICTS, self._files, strict=True)
        }

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._files:
            os.close(descriptor)


def _write_all(descriptor: int, text: bytes) -> None:
    """Write everything; `os.write` may take less at once."""
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]


def _cannot_write(folder: Path, error: OSError) -> SinkError:
    return SinkError(
        f"cannot write to DEDUP_OUTPUT_DIR={folder}: {error.strerror}. Nothing is lost: "
        "make room or set another folder and start again."
    )


class LinesSink(FixedPartitionedSink[Output, Lengths]):
    """Writes `unique.jsonl`, `duplicate.jsonl`, `late.jsonl` and `invalid.jsonl`.

    Promises: with recovery, after kill -9 and restart each record is in the files
    once, since they are cut back to the snapshot's length.
    """

    def __init__(self, settings: LinesSinkSettings, observer: Observer) -> None:
        """settings: where to write.  observer: is told what was written."""
        self._settings = settings
        self._observer = observer

    def list_parts(self) -> list[str]:
        """One partition: one process writes all the files."""
        return [_PARTITION]

    def part_fn(self, item_key: str) -> int:
        """Every lane's outputs go to the same files."""
        del item_key
        return 0

    @one_line_errors
    def build_part(
        self, step_id: str, for_part: str, resume_state: Lengths | None
    ) -> _LinesPartition:
        """Open the files, cut back to the snapshot's lengths."""
        del step_id, for_part
        return _LinesPartition(self._settings, resume_state, self._observer)
