"""The table of window kinds: complete, cheap to import, and right about each kind."""

import math
import subprocess
import sys
from typing import get_args

import pytest

from operators.windows.bound import Bound
from operators.windows.kinds import KINDS, WindowKind, WindowName
from tests.stores import Asking, times

every_window = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def test_every_name_has_a_kind() -> None:
    assert list(KINDS) == list(get_args(WindowName))


def test_importing_the_table_loads_neither_compiled_loops_nor_rocksdb() -> None:
    code = "import sys, operators.windows.kinds; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"numba", "numpy", "rocksdict", "operators.windows.tumbling"} & set(loaded)


@every_window
def test_what_it_says_of_a_kind_is_what_the_store_does(kind: WindowKind) -> None:
    length = 10.0 if kind.endless else kind.length(10.0)

    def answers(*at: float) -> str:
        """Return what an empty store answers to records with one key at these times."""
        return Asking(kind.new_store(10.0, Bound()))(*times(*(part * length for part in at)))

    is_repeat_across_a_border = answers(0.9, 1.1) == "u d0"
    assert is_repeat_across_a_border == (kind.endless or not kind.in_buckets)
    assert (answers(0.0, 1e8) == "u d0") == kind.endless
    assert (answers(0.0, 0.6, 1.2) == "u d0 d0") == (kind.grows or kind.endless)


@every_window
def test_the_layout_is_of_the_same_window_as_the_store(kind: WindowKind) -> None:
    layout = kind.new_layout(10.0)
    assert layout.seconds == kind.length(10.0)
    assert math.isinf(layout.seconds) == kind.endless
    assert type(layout.memory_store()) is type(kind.new_store(10.0, Bound()))
