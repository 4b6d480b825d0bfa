"""Columns that grow."""

import mmap
import sys

import numpy as np
import psutil
import pytest

from operators.columns.growable_column import GrowableColumn


class Unmovable(mmap.mmap):
    """A mapping on a system without `mremap`."""

    def resize(self, newsize: int) -> None:
        del newsize
        raise SystemError


@pytest.mark.parametrize("width", [0, 2])
@pytest.mark.parametrize("memory", [mmap.mmap, Unmovable])
def test_it_keeps_its_rows_and_new_rows_are_zeros(
    width: int, memory: type[mmap.mmap], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmap, "mmap", memory)
    column = GrowableColumn(np.uint32, 3, width)
    shape = (width,) if width else ()
    assert column.rows.shape == (3, *shape)
    assert column.rows.dtype == np.uint32
    column.rows[:] = 7
    for size in (2, 3, 4, 5_000, 1_000_000):
        column.grow(size)
        assert size <= len(column.rows) <= max(size + size // 8, 4)
        assert (column.rows[:3] == 7).all()
        assert not column.rows[3:].any()


def test_it_does_not_grow_while_there_is_a_view() -> None:
    column = GrowableColumn(np.int64, 10)
    column.rows[:] = range(10)
    view = column.rows[3:]
    with pytest.raises(BufferError):
        column.grow(100)
    assert column.rows.tolist() == list(range(10))
    del view
    column.grow(100)
    assert column.rows[:10].tolist() == list(range(10))


def test_a_view_in_garbage_does_not_count() -> None:
    """After a compilation by numba, the arguments of the call may be in a cycle."""
    column = GrowableColumn(np.int64, 10)
    cycle: list[object] = [column.rows[3:]]
    cycle.append(cycle)
    del cycle
    column.grow(100)
    assert len(column.rows) >= 100


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may count it at once")
def test_untouched_rows_take_no_memory() -> None:
    column = GrowableColumn(np.uint64, 1)
    process = psutil.Process()
    before = process.memory_info().rss
    column.grow(1 << 25)  # 256 MB
    assert process.memory_info().rss - before < 8 << 20
    column.rows[: 1 << 21] = 1
    assert process.memory_info().rss - before >= 16 << 20
