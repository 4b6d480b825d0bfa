"""Loops that are compiled, also where what is compiled cannot be kept."""

from typing import Any

import numba
import numpy as np
import pytest

from operators import compiled as module
from operators.compiled import compiled


def add_up(numbers: Any) -> int:  # noqa: ANN401
    total = 0
    for number in numbers:
        total += number
    return total


def test_a_compiled_loop_is_the_same_function() -> None:
    assert compiled(add_up)(np.arange(5)) == 10


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def njit(*, nogil: bool, cache: bool = False) -> Any:  # noqa: ANN401
        if cache:
            msg = "cannot cache function: no locator available"
            raise RuntimeError(msg)
        return numba.njit(nogil=nogil)

    monkeypatch.setattr(module, "njit", njit)
    assert compiled(add_up)(np.arange(5)) == 10
