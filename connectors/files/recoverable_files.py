"""Files that are exact through kill -9: cut back to their snapshot, and never another's."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict, cast

from connectors.files.lock import open_locked
from connectors.files.tail import FileTail
from operators.errors import SinkError


class WrittenFiles(TypedDict):
    """What a snapshot knows of the files.  Pickled it is a dict, whatever this module is called.

    begun: the name that the files were given when they were begun.  files: name →
    bytes that belong to the snapshot, and hash of the last of them.
    """

    begun: str
    files: dict[str, tuple[int, bytes]]


Lengths: TypeAlias = dict[str, int]
"""What snapshots of early versions know: file name → bytes that belong to the snapshot."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_MARKER_BYTES = 1 << 16
_BEGUN = re.compile(r"^begun ([0-9a-f]{32})\n\Z", re.MULTILINE)


class OutputFiles:
    """Some files in a folder that one sink writes.

    Promises: with recovery, after kill -9 and restart what was written since the
    snapshot is gone, to be written again; files that were there before are an error,
    and so are files of another run, and another process that writes to them, until
    that has ended.  Nothing is changed before all files have been looked at.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        marker: str,
        recovery: str | None,
        resume: WrittenFiles | Lengths | None,
    ) -> None:
        """Open the files, making the folder and them if need be.

        marker: name of a file that says which recovery directory they were begun
        with; it is locked as long as they are open.  recovery: what tells that
        directory from any other, None without.  resume: what `snapshot` returned;
        None where there is none.  Raises SinkError.
        """
        self._folder = folder
        self._names = tuple(names)
        self._files: dict[str, int] = {}
        self._tails = {name: FileTail() for name in self._names}
        self._marker: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._marker = marker_file = self._lock(folder / marker)
            # Only a process that holds the lock may cut files, or make them.
            if resume is None:
                self._begun = self._begin(marker_file, recovery)
            else:
                self._begun = self._resume(marker_file, recovery, resume)
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

    def _begin(self, marker: int, recovery: str | None) -> str:
        """A run without a snapshot: files that are there are not ours to overwrite.

        With recovery, a run may have been killed before its first snapshot: the
        marker names the recovery directory that the files were begun with.  Where
        that one has no snapshot, they are begun again.
        """
        begun_with = _text_of(marker)
        again = recovery is not None and begun_with.startswith(recovery)
        if not again:
            for name in self._names:
                # A link that leads nowhere is there, too.
                if os.path.lexists(self._folder / name):
                    raise self._is_there(name)
        begun = (again and _begun_of(begun_with)) or secrets.token_hex(16)
        _mark(marker, recovery, begun)
        flags = os.O_CREAT | (os.O_NOFOLLOW if again else os.O_EXCL)
        for name in self._names:
            try:
                self._files[name] = os.open(self._folder / name, os.O_WRONLY | flags, 0o644)
            except FileExistsError:
                raise self._is_there(name) from None
        self._cut(dict.fromkeys(self._names, 0))
        return begun

    def _resume(self, marker: int, recovery: str | None, resume: WrittenFiles | Lengths) -> str:
        """A run with a snapshot: only files that it knows are cut.

        The folder may have another path than it had, and may be a copy.  The marker may
        have got lost; then the hashes tell the files from others.
        """
        begun, files = _read(resume)
        there = _begun_of(_text_of(marker))
        if begun and there and begun != there:
            raise self._is_anothers()
        for name in self._names:
            # Early versions say nothing, and are believed.
            self._open_known(name, *files[name], ours=begun is None or begun == there)
        begun = begun or there or secrets.token_hex(16)
        if begun != there:
            _mark(marker, recovery, begun)
        for name in self._names:
            if name not in self._files:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                self._files[name] = os.open(self._folder / name, flags, 0o644)
        self._cut({name: files[name][0] for name in self._names})
        return begun

    def _open_known(self, name: str, length: int, tail_hash: bytes, *, ours: bool) -> None:
        """Open a file if it is there, and look whether it is the one that a snapshot knows.

        ours: whether the folder is for certain the one that it was in.
        """
        try:
            self._files[name] = descriptor = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            if length:
                raise self._is_not_ours(name, "is gone", length) from None
            return
        size = os.fstat(descriptor).st_size
        if size < length:
            raise self._is_not_ours(name, f"has {size} bytes", length)
        self._tails[name] = tail = FileTail.read(descriptor, length)
        if tail_hash and length and tail.hash != tail_hash:
            raise self._is_not_ours(name, f"has other lines before byte {length}", length)
        # Nothing to compare: its run may have gone on after the snapshot, or not.
        if size and not length and not ours:
            raise self._may_be_anothers(name, size)

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
        self._tails[name].add(text)

    def snapshot(self) -> WrittenFiles:
        """Describe the files, once what they hold is on the disk.  Raises SinkError."""
        try:
            for descriptor in self._files.values():
                os.fsync(descriptor)
        except OSError as error:
            raise self._cannot_write(error) from error
        return WrittenFiles(
            begun=self._begun,
            files={
                name: (os.lseek(file, 0, os.SEEK_CUR), self._tails[name].hash)
                for name, file in self._files.items()
            },
        )

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

    def _is_anothers(self) -> SinkError:
        return SinkError(
            f"DEDUP_OUTPUT_DIR={self._folder} was begun with another recovery directory, so its "
            "files are not cut: set the folder that belongs to this recovery directory, or begin "
            "again with another recovery directory and output folder."
        )

    def _may_be_anothers(self, name: str, size: int) -> SinkError:
        return SinkError(
            f"{self._folder / name} has {size} bytes, but it was empty when the recovery snapshot "
            "was made, and nothing says that this recovery directory's run wrote them: move the "
            "file away and start again, or set the DEDUP_OUTPUT_DIR that belongs to this one."
        )

    def _cannot_write(self, error: OSError) -> SinkError:
        what = "make room" if error.errno in _FULL else "put that right"
        return SinkError(
            f"cannot write to DEDUP_OUTPUT_DIR={self._folder}: {error.strerror}. Nothing is lost: "
            f"{what}, or set another folder, and start again."
        )


def _read(resume: WrittenFiles | Lengths) -> tuple[str | None, Mapping[str, tuple[int, bytes]]]:
    """Read a snapshot: what they were begun as, and the files."""
    if "files" in resume:
        written = cast("WrittenFiles", resume)
        return written["begun"], written["files"]
    return None, {name: (length, b"") for name, length in resume.items()}


def _text_of(marker: int) -> str:
    return os.pread(marker, _MARKER_BYTES, 0).decode(errors="replace")


def _begun_of(text: str) -> str | None:
    found = _BEGUN.search(text)
    return found[1] if found else None


def _mark(marker: int, recovery: str | None, begun: str) -> None:
    """Have a marker say what the files were begun with, on the disk."""
    text = f"{recovery or ''}begun {begun}\n".encode()
    # WrittenFiles over what is there: a kill in between leaves no empty marker.
    os.pwrite(marker, text, 0)
    os.ftruncate(marker, len(text))
    os.fsync(marker)
