"""Files that are exact through kill -9: cut back to their snapshot, and never another's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from connectors.file_lock import open_locked
from operators.errors import SinkError

Lengths: TypeAlias = dict[str, int]
"""File name → bytes that belong to the snapshot."""

_MARKER_BYTES = 1 << 16


class OutputFiles:
    """Some files in a folder that one sink writes.

    Promises: with recovery, after kill -9 and restart what was written since the
    snapshot is gone, to be written again; files that were there before are an error,
    and so is another process that writes to them, until that has ended.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        marker: str,
        recovery: str | None,
        resume: Lengths | None,
    ) -> None:
        """Open the files, making the folder and them if need be.

        marker: name of a file that says which recovery directory they were begun
        with; it is locked as long as they are open.  recovery: what tells that
        directory from any other, None without.  resume: what `lengths` returned for
        the snapshot; None where there is none.  Raises SinkError.
        """
        self._folder = folder
        self._names = tuple(names)
        self._files: dict[str, int] = {}
        self._marker: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._marker = marker_file = self._lock(folder / marker)
            # Only a process that holds the lock may cut files, or make them.
            if resume is None:
                self._begin(marker_file, recovery)
            else:
                self._resume(resume)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self._cannot_write(error) from error
            raise

    def _lock(self, marker: Path) -> int:
        descriptor = open_locked(marker)
        if descriptor is None:
            msg = (
                f"another run is writing to DEDUP_OUTPUT_DIR={self._folder}: wait until it has "
                "ended, or end it, or set another folder"
            )
            raise SinkError(msg)
        return descriptor

    def _begin(self, marker: int, recovery: str | None) -> None:
        """A run without a snapshot: files that are there are not ours to overwrite.

        With recovery, a run may have been killed before its first snapshot: the
        marker names the recovery directory that the files were begun with.  Where
        that one has no snapshot, they are begun again.
        """
        begun_with = os.pread(marker, _MARKER_BYTES, 0).decode(errors="replace")
        again = recovery is not None and begun_with == recovery
        if not again:
            for name in self._names:
                # A link that leads nowhere is there, too.
                if os.path.lexists(self._folder / name):
                    raise self._is_there(name)
            os.ftruncate(marker, 0)
            os.pwrite(marker, (recovery or "").encode(), 0)
            os.fsync(marker)
        flags = os.O_CREAT | (os.O_NOFOLLOW if again else os.O_EXCL)
        for name in self._names:
            try:
                self._files[name] = os.open(self._folder / name, os.O_WRONLY | flags, 0o644)
            except FileExistsError:
                raise self._is_there(name) from None
        self._cut(dict.fromkeys(self._names, 0))

    def _resume(self, wanted: Mapping[str, int]) -> None:
        for name in self._names:
            path = self._folder / name
            try:
                self._files[name] = os.open(path, os.O_WRONLY)
            except FileNotFoundError:
                if wanted[name]:
                    raise self._is_not_ours(name, "is gone", wanted[name]) from None
                self._files[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            size = os.fstat(self._files[name]).st_size
            if size < wanted[name]:
                raise self._is_not_ours(name, f"has {size} bytes", wanted[name])
        self._cut(wanted)

    def _cut(self, wanted: Mapping[str, int]) -> None:
        """Drop what was written after the snapshot: it will be written again."""
        for name, descriptor in self._files.items():
            os.ftruncate(descriptor, wanted[name])
            os.lseek(descriptor, wanted[name], os.SEEK_SET)

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
        """Close the files; then another process may write to them."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}
        if self._marker is not None:
            os.close(self._marker)
        self._marker = None

    def _is_there(self, name: str) -> SinkError:
        return SinkError(
            f"{self._folder / name} is there already and would be overwritten: move it away, or "
            "set DEDUP_OUTPUT_DIR to another folder"
        )

    def _is_not_ours(self, name: str, what: str, wanted: int) -> SinkError:
        return SinkError(
            f"{self._folder / name} {what}, but {wanted} bytes had been written when the recovery "
            "snapshot was made. Put the file back, or begin again with another recovery directory "
            "and output folder."
        )

    def _cannot_write(self, error: OSError) -> SinkError:
        return SinkError(
            f"cannot write to DEDUP_OUTPUT_DIR={self._folder}: {error.strerror}. Nothing is lost: "
            "make room or set another folder and start again."
        )
