"""Files that are exact through kill -9: cut back to their snapshot, and never another's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from operators.errors import SinkError

Lengths: TypeAlias = dict[str, int]
"""File name → bytes that belong to the snapshot."""


class OutputFiles:
    """Some files in a folder that one sink writes.

    Promises: with recovery, after kill -9 and restart what was written since the
    snapshot is gone, to be written again; files that were there before are an error.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        marker: str,
        recovery: Path | None,
        resume: Lengths | None,
    ) -> None:
        """Open the files, making the folder and them if need be.

        marker: name of a file that says which recovery directory they were begun
        with.  recovery: that directory, None without.  resume: what `lengths`
        returned for the snapshot; None where there is none.  Raises SinkError.
        """
        self._folder = folder
        self._names = tuple(names)
        self._marker = folder / marker
        self._files: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if resume is None:
                self._begin(recovery)
            for name in self._names:
                self._files[name] = self._open(name, 0 if resume is None else resume[name])
        except OSError as error:
            raise self._cannot_write(error) from error

    def _open(self, name: str, wanted: int) -> int:
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT, 0o644)
        size = os.fstat(descriptor).st_size
        if size < wanted:
            msg = (
                f"{self._folder / name} has {size} bytes, but {wanted} had been written when the "
                "recovery snapshot was made. Put the file back, or begin anew with another "
                "recovery directory and output folder."
            )
            raise SinkError(msg)
        # What was written after the snapshot will be written again.
        os.ftruncate(descriptor, wanted)
        os.lseek(descriptor, wanted, os.SEEK_SET)
        return descriptor

    def _begin(self, recovery: Path | None) -> None:
        """A run without a snapshot: files that are there are not ours to overwrite.

        With recovery, a run may have been killed before its first snapshot: the
        marker names the recovery directory that the files were begun with.  Where
        that one has no snapshot, they are begun again.
        """
        if recovery is not None:
            identity = f"{recovery.resolve()} {recovery.stat().st_ino}\n"
            if self._marker.exists() and self._marker.read_text() == identity:
                return
        there = [name for name in self._names if (self._folder / name).exists()]
        if there:
            msg = (
                f"{self._folder / there[0]} is there already and would be overwritten: move it "
                "away, or set DEDUP_OUTPUT_DIR to another folder"
            )
            raise SinkError(msg)
        if recovery is not None:
            self._marker.write_text(identity)

    def write(self, name: str, text: bytes) -> None:
        """Append to a file.  Raises SinkError, as for a full disk."""
        view = memoryview(text)
        try:
            # `os.write` may take less at once.
            while view:
                view = view[os.write(self._files[name], view) :]
        except OSError as error:
            raise self._cannot_write(error) from error

    def lengths(self) -> Lengths:
        """Lengths of the files, once what they hold is on the disk.  Raises SinkError."""
        try:
            for descriptor in self._files.values():
                os.fsync(descriptor)
        except OSError as error:
            raise self._cannot_write(error) from error
        return {name: os.lseek(file, 0, os.SEEK_CUR) for name, file in self._files.items()}

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._files.values():
            os.close(descriptor)

    def _cannot_write(self, error: OSError) -> SinkError:
        return SinkError(
            f"cannot write to DEDUP_OUTPUT_DIR={self._folder}: {error.strerror}. Nothing is lost: "
            "make room or set another folder and start again."
        )
