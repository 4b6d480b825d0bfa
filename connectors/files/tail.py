"""The last bytes before a position in a file: they tell it from another file of that name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b

from typing_extensions import Self

# Enough to tell a file from another file of its name.
_BYTES = 4096


class FileTail:
    """The last bytes that were read from a file, or written to it, 4096 at most."""

    def __init__(self, text: bytes = b"") -> None:
        """text: the bytes before the position."""
        self._text = text[-_BYTES:]

    @classmethod
    def read(cls, descriptor: int, end: int) -> Self:
        """Read the tail of a file's first `end` bytes.  Raises OSError."""
        count = min(end, _BYTES)
        return cls(os.pread(descriptor, count, end - count))

    def add(self, text: bytes) -> None:
        """Append bytes."""
        self._text = text[-_BYTES:] if len(text) >= _BYTES else (self._text + text)[-_BYTES:]

    def add_lines(self, lines: Sequence[bytes]) -> None:
        """Append lines."""
        last: list[bytes] = []
        size = 0
        for line in reversed(lines):
            if size >= _BYTES:
                break
            last.append(line)
            size += len(line)
        self.add(b"".join(reversed(last)))

    @property
    def hash(self) -> bytes:
        """Hash of the bytes: another file has other bytes before that position."""
        return blake2b(self._text, digest_size=16).digest()
