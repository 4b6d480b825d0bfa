"""Numbers as text, a column at a time: what the headers of duplicates are mostly made of."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn, Memory
from operators.columns.jit import jit

_Numbers = npt.NDArray[np.uint64]

_MOST_DIGITS: Final = 19
_COLON: Final = ord(":")
_ZERO: Final = np.uint64(ord("0"))
# Of the same type as what is divided: with others mixed in, compiled code goes by floats.
_TEN: Final = np.uint64(10)


def decimals(*columns: Ints) -> ByteColumn:
    """Write the numbers of each row in decimal, with a colon between them.

    columns: at least one; numbers ≥ 0, as many in each.
    """
    numbers = np.array(columns, np.uint64)
    memory = np.empty(numbers.size * (_MOST_DIGITS + 1), np.uint8)
    sizes = np.empty(numbers.shape[1], np.int64)
    end = _write(numbers, memory, sizes)
    return ByteColumn(memory[:end].copy(), sizes)


@jit
def _write(numbers: _Numbers, memory: Memory, sizes: Ints) -> int:
    """Write row by row; return where the last one ends."""
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
            place = end
            while bound > np.uint64(1):
                place -= 1
                memory[place] = _ZERO + number % _TEN
                number //= _TEN
                bound //= _TEN
        sizes[row] = end - begin
    return end
