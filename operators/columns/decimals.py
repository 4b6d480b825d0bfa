"""Writes numbers as decimal text, a column at a time: most headers of duplicates are numbers."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn, Memory
from operators.columns.jit import jit

_Numbers = npt.NDArray[np.uint64]

_MAX_DIGITS: Final = 19
_COLON: Final = ord(":")
_ZERO: Final = np.uint64(ord("0"))
# The same type as the dividend: with mixed types, compiled code would use floats.
_TEN: Final = np.uint64(10)


def decimals(*columns: Ints) -> ByteColumn:
    """Write the numbers of each row in decimal, with a colon between them.

    columns: at least one, all of the same length; numbers ≥ 0.
    """
    numbers = np.array(columns, np.uint64)
    memory = np.empty(numbers.size * (_MAX_DIGITS + 1), np.uint8)
    sizes = np.empty(numbers.shape[1], np.int64)
    end = _write(numbers, memory, sizes)
    return ByteColumn(memory[:end].copy(), sizes)


@jit
def _write(numbers: _Numbers, memory: Memory, sizes: Ints) -> int:
    """Write row by row; return where the last row ends."""
    end = 0
    for row in range(numbers.shape[1]):
        begin = end
        for column in range(numbers.shape[0]):
            if column:
                memory[end] = _COLON
                end += 1
            number = numbers[column, row]
            bound = _TEN
            end += 1
            while number >= bound:
                bound *= _TEN
                end += 1
            position = end
            while bound > np.uint64(1):
                position -= 1
                memory[position] = _ZERO + number % _TEN
                number //= _TEN
                bound //= _TEN
        sizes[row] = end - begin
    return end
