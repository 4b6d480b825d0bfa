"""Columns that grow at their end without copying their content."""

from __future__ import annotations

import gc
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

# Private memory: the kernel fills a page with zeros when it is first touched.
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class GrowableColumn:
    """An array (`rows`) that can be made longer.

    It has a memory mapping of its own.  The kernel grows a mapping by moving page tables;
    the allocator would copy everything.  Pages that were never touched take no memory.
    """

    def __init__(self, dtype: npt.DTypeLike, size: int, width: int = 0) -> None:
        """size: rows of zeros, at least 1.  width: numbers in a row, 0 for scalars."""
        self._dtype = np.dtype(dtype)
        self._shape = (width,) if width else ()
        self._row_bytes = self._dtype.itemsize * max(width, 1)
        self._memory = mmap.mmap(-1, size * self._row_bytes, flags=_PRIVATE)
        self.rows: npt.NDArray[Any] = self._view()

    def _view(self) -> npt.NDArray[Any]:
        return np.frombuffer(self._memory, self._dtype).reshape(-1, *self._shape)

    def grow(self, size: int) -> None:
        """Make it at least `size` rows long; new rows are zeros.

        It grows by an eighth more than needed, since each step is expensive.  Raises
        BufferError while a view of `rows` exists.  Views in garbage are collected first:
        after a compilation, numba's frames hold their arguments.
        """
        if size <= len(self.rows):
            return
        size_bytes = (size + size // 8) * self._row_bytes
        del self.rows
        try:
            try:
                self._memory.resize(size_bytes)
            except BufferError:
                gc.collect()
                self._memory.resize(size_bytes)
        except SystemError:  # not every system can resize a mapping
            old, self._memory = self._memory, mmap.mmap(-1, size_bytes, flags=_PRIVATE)
            self._memory[: len(old)] = old[:]
        finally:
            self.rows = self._view()
