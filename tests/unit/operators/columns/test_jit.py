"""Loops that are compiled, with and without a folder for the compiled code."""

from typing import Any

import numpy as np
import pytest
from numba.core.caching import CacheImpl

from operators.columns.jit import jit


def add_up(numbers: Any) -> int:  # noqa: ANN401
    total = 0
    for number in numbers:
        total += number
    return total


def test_a_compiled_loop_is_the_same_function() -> None:
    assert jit(add_up)(np.arange(5)) == 10


def test_a_loop_is_compiled_without_a_folder_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert jit(add_up)(np.arange(5)) == 10
