"""The table of window kinds: complete, cheap to import, and right about each kind."""

import math
import subprocess
import sys
from typing import get_args

import numpy as np
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
    ask = Asking(kind.new_store(10.0, Bound()))
    near_across_a_border = ask(*times(9.0, 11.0)) == "u d0"
    assert near_across_a_border == (kind.endless or not kind.in_buckets)
    ask = Asking(kind.new_store(10.0, Bound()))
    assert (ask(*times(0.0, 1e9)) == "u d0") == kind.endless
    ask = Asking(kind.new_store(10.0, Bound()))
    assert (ask(*times(0.0, 6.0, 12.0)) == "u d0 d0") == (kind.grows or kind.endless)


@every_window
def test_the_layout_is_of_the_same_window_as_the_store(kind: WindowKind) -> None:
    layout = kind.new_layout(10.0)
    assert layout.seconds == kind.length(10.0) == (math.inf if kind.endless else 10.0)
    assert type(layout.memory_store()) is type(kind.new_store(10.0, Bound()))
    assert layout.bucket_of(np.array([25.0])).tolist() in ([2.0], [0.0])
