"""Files that are exact through kill -9: a restart cuts them back to their snapshot.

Files of another run are never cut.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from connectors.files.lock import open_locked
from connectors.files.tail import FileTail
from operators.errors import SinkError


class WrittenFiles(TypedDict):
    """What a snapshot says about the files.  It is pickled as a dict, so this module may move.

    begun: the identity that the files got when they were begun.  files: name → number of
    bytes that belong to the snapshot, and the hash of the last of them.
    """

    begun: str
    files: dict[str, tuple[int, bytes]]


_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_MARKER_BYTES = 1 << 16
_BEGUN = re.compile(r"^begun ([0-9a-f]{32})\n\Z", re.MULTILINE)


class OutputFiles:
    """Files in a folder that one sink writes.

    Promises: with recovery, a restart after kill -9 removes all bytes written since the
    snapshot, and the job writes them again.  Existing files are an error, and so are files of
    another run, and another process that still writes to them.  Nothing is changed before all
    files have been checked.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        marker: str,
        recovery: str | None,
        resume: WrittenFiles | None,
    ) -> None:
        """Open the files; make them and the folder if they are missing.

        marker: name of a file that says with which recovery directory they were begun; it is
        locked while they are open.  recovery: identity of that directory, or None.
        resume: the last result of `snapshot`, None if there is none.  Raises SinkError.
        """
        self._folder = folder
        self._names = tuple(names)
        self._files: dict[str, int] = {}
        self._tails = {name: FileTail() for name in self._names}
        self._marker: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._marker = marker_file = self._lock(folder / marker)
            # Only the process that holds the lock may cut or make files.
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
        """Begin the files of a run without a snapshot; never overwrite existing files.

        With recovery, a run may have been killed before its first snapshot.  The marker names
        the recovery directory that its files were begun with.  If that directory is the same,
        the files are begun again.
        """
        marked = _text_of(marker)
        is_ours = recovery is not None and marked.startswith(recovery)
        if not is_ours:
            for name in self._names:
                # True for a link that leads nowhere, too.
                if os.path.lexists(self._folder / name):
                    raise self._already_exists(name)
        begun = (is_ours and _begun_of(marked)) or secrets.token_hex(16)
        _mark(marker, recovery, begun)
        flags = os.O_CREAT | (os.O_NOFOLLOW if is_ours else os.O_EXCL)
        for name in self._names:
            try:
                self._files[name] = os.open(self._folder / name, os.O_WRONLY | flags, 0o644)
            except FileExistsError:
                raise self._already_exists(name) from None
        self._cut(dict.fromkeys(self._names, 0))
        return begun

    def _resume(self, marker: int, recovery: str | None, resume: WrittenFiles) -> str:
        """Open the files of a snapshot, and cut only those that it knows.

        The folder may have a new path, and may be a copy.  If the marker was lost, hashes
        tell these files from others.
        """
        begun, files = resume["begun"], resume["files"]
        marked = _begun_of(_text_of(marker))
        if marked and begun != marked:
            raise self._is_anothers()
        for name in self._names:
            self._open_known(name, *files[name], is_marked=begun == marked)
        if not marked:
            _mark(marker, recovery, begun)
        for name in self._names:
            if name not in self._files:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                self._files[name] = os.open(self._folder / name, flags, 0o644)
        self._cut({name: files[name][0] for name in self._names})
        return begun

    def _open_known(self, name: str, length: int, tail_hash: bytes, *, is_marked: bool) -> None:
        """Open a file if it exists, and check that it is the snapshot's.

        is_marked: whether the marker proves that the folder is the snapshot's.
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
        if length and tail.hash != tail_hash:
            raise self._is_not_ours(name, f"has other lines before byte {length}", length)
        # There is nothing to compare: our run may have written these bytes after the snapshot.
        if size and not length and not is_marked:
            raise self._may_be_anothers(name, size)

    def _cut(self, lengths: Mapping[str, int]) -> None:
        """Remove all bytes that were written after the snapshot: they are written again."""
        for name, descriptor in self._files.items():
            os.ftruncate(descriptor, lengths[name])
            os.lseek(descriptor, lengths[name], os.SEEK_SET)

    def write(self, name: str, text: bytes) -> None:
        """Append to a file.  Raises SinkError, for example for a full disk."""
        view = memoryview(text)
        try:
            # `os.write` may write only a part.
            while view:
                view = view[os.write(self._files[name], view) :]
        except OSError as error:
            raise self._cannot_write(error) from error
        self._tails[name].add(text)

    def snapshot(self) -> WrittenFiles:
        """Describe the files, after all their content is on the disk.  Raises SinkError."""
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
        """Close the files, so that another process may write to them."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}
        if self._marker is not None:
            os.close(self._marker)
        self._marker = None

    def _already_exists(self, name: str) -> SinkError:
        return SinkError(
            f"{self._folder / name} is there already and would be overwritten: move it away, or "
            "set DEDUP_OUTPUT_DIR to another folder"
        )

    def _is_not_ours(self, name: str, difference: str, length: int) -> SinkError:
        return SinkError(
            f"{self._folder / name} {difference}, but {length} bytes had been written when the "
            "recovery snapshot was made. Put the file back, or begin again with another recovery "
            "directory and output folder."
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
        cure = "make room" if error.errno in _DISK_FULL else "put that right"
        return SinkError(
            f"cannot write to DEDUP_OUTPUT_DIR={self._folder}: {error.strerror}. Nothing is lost: "
            f"{cure}, or set another folder, and start again."
        )


def _text_of(marker: int) -> str:
    return os.pread(marker, _MARKER_BYTES, 0).decode(errors="replace")


def _begun_of(text: str) -> str | None:
    match = _BEGUN.search(text)
    return match[1] if match else None


def _mark(marker: int, recovery: str | None, begun: str) -> None:
    """Write into a marker with which recovery directory the files were begun; flush it."""
    text = f"{recovery or ''}begun {begun}\n".encode()
    # Overwrite first, cut afterwards: a kill in between leaves no empty marker.
    os.pwrite(marker, text, 0)
    os.ftruncate(marker, len(text))
    os.fsync(marker)
