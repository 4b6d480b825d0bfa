"""Loops that are compiled, also where what is compiled cannot be kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.caching import Cache

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


_TWO_LOOPS = """
import sys
import numba, numpy as np
from operators.byte_columns import ByteColumn
print(list(ByteColumn.of([b"a", b"bc"]).take(np.array([1]))), "numba.np.linalg" in sys.modules)
print(numba.njit(lambda numbers: np.median(numbers))(np.arange(3.0)))
"""


def test_what_is_kept_is_had_again_without_what_compiles_and_another_loop_with_it(
    tmp_path: Path,
) -> None:
    def run() -> list[str]:
        line = [sys.executable, "-c", _TWO_LOOPS]
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run(
            line, check=True, capture_output=True, text=True, env=env
        ).stdout.splitlines()

    assert run() == ["[b'bc'] True", "1.0"]
    assert run() == ["[b'bc'] False", "1.0"]


def test_where_numba_keeps_loops_in_another_way_they_are_had_by_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled(add_up)(np.arange(5)) == 10
    monkeypatch.delattr(Cache, "_load_overload")
    asked = []

    def load_overload(_: object, sig: object, __: object) -> None:
        asked.append(sig)

    monkeypatch.setattr(Cache, "load_overload", load_overload)
    assert compiled(add_up)(np.arange(5)) == 10
    assert len(asked) == 1
