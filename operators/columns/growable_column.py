"""Columns that grow at their end, without what is in them being copied."""

from __future__ import annotations

import gc
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

# Memory of its own, which the kernel fills with zeros when it is first touched.
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Column:
    """An array (`rows`) that can be made longer.

    Its memory is mapped for it alone: the kernel moves it by its page tables, while the
    allocator would copy all of it again and again, and what was never touched takes none.
    """

    def __init__(self, dtype: npt.DTypeLike, size: int, width: int = 0) -> None:
        """size: rows, zeros, at least one.  width: numbers in each, 0 for rows that are numbers."""
        self._dtype = np.dtype(dtype)
        self._shape = (width,) if width else ()
        self._row_bytes = self._dtype.itemsize * max(width, 1)
        self._memory = mmap.mmap(-1, size * self._row_bytes, flags=_PRIVATE)
        self.rows: npt.NDArray[Any] = self._view()

    def _view(self) -> npt.NDArray[Any]:
        return np.frombuffer(self._memory, self._dtype).reshape(-1, *self._shape)

    def grow(self, size: int) -> None:
        """Make it at least `size` rows long, with zeros; there must be no view of `rows`.

        An eighth more than needed: each step has its price.  Raises BufferError if there
        is a view, and not only in what is garbage: where numba had to compile, its frames and
        their arguments may be.
        """
        if size <= len(self.rows):
            return
        wanted = (size + size // 8) * self._row_bytes
        del self.rows
        try:
            try:
                self._memory.resize(wanted)
            except BufferError:
                gc.collect()
                self._memory.resize(wanted)
        except SystemError:  # not every system can
            before, self._memory = self._memory, mmap.mmap(-1, wanted, flags=_PRIVATE)
            self._memory[: len(before)] = before[:]
        finally:
            self.rows = self._view()
