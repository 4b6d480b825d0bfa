"""The table: bounded, the oldest keys go first, and rows become free in steps."""

import numpy as np
import pytest

from operators.windows.bound import Bound
from operators.windows.key_table import table as module
from operators.windows.key_table.table import KeyTable
from tests.stores import keys_of


def add(table: KeyTable, numbers: object, at: float = 0.0) -> None:
    keys = keys_of(numbers)
    count = len(keys)
    table.add(keys, np.full(count, at), np.asarray(numbers, np.int64), table.take_stamps(count))


def held(table: KeyTable, numbers: object) -> list[int]:
    entries = table.find(keys_of(numbers))
    return table.references[entries[entries >= 0]].tolist()  # type: ignore[no-any-return]


def test_rows_of_dropped_keys_are_used_again_but_only_once_swept() -> None:
    table = KeyTable(Bound(10_000))
    add(table, range(1000), at=1.0)
    add(table, range(1000, 1500), at=2.0)
    table.drop_before(2.0)
    assert len(table) == 500
    assert held(table, range(2000)) == list(range(1000, 1500))
    add(table, range(100), at=2.0)  # dropped ones are still in the index, and do not count
    assert held(table, range(100)) == list(range(100))
    table.sweep(300)
    table.sweep(10_000)
    size = table.size_bytes
    add(table, range(2000, 2900), at=2.0)
    assert table.size_bytes == size
    assert held(table, range(3000)) == [*range(100), *range(1000, 1500), *range(2000, 2900)]
    table.drop_before(2.0, included=True)
    assert (len(table), table.oldest()) == (0, np.inf)
    assert table.size_bytes < size


def test_the_oldest_go_first_and_never_more_than_the_bound_are_held() -> None:
    table = KeyTable(Bound(6400))
    for begin in range(0, 100_000, 50):
        if table.room < 50:
            table.evict()
        add(table, range(begin, begin + 50))
        assert len(table) <= 6400
    kept = held(table, range(100_000))
    assert kept == list(range(100_000 - len(kept), 100_000))
    assert len(kept) >= 6400 * (1 - 1 / 16)
    assert table.evicted == 100_000 - len(kept)


def test_memory_stays_flat_while_keys_come_and_go() -> None:
    table = KeyTable(Bound(5_000))
    sizes = set()
    for begin in range(0, 200_000, 100):
        while table.room < 100:
            table.evict()
        add(table, range(begin, begin + 100))
        if begin > 20_000:
            sizes.add(table.size_bytes)
    assert len(sizes) == 1


def test_renewed_keys_go_later() -> None:
    table = KeyTable(Bound(1000, renew=True))
    add(table, range(1000))
    entries = table.find(keys_of([0, 5]))
    table.renew(entries[[0, 1, 1]], table.take_stamps(3))
    table.evict()
    assert held(table, range(30)) == [0, 5, *range(1000 - len(table) + 2, 30)]


@pytest.mark.parametrize("max_keys", [1, 2, 63])
def test_small_bounds(max_keys: int) -> None:
    table = KeyTable(Bound(max_keys))
    for number in range(200):
        if not table.room:
            table.evict()
        add(table, [number])
    assert len(table) >= max_keys * 7 // 8
    assert held(table, range(200)) == list(range(200 - len(table), 200))


def test_stamps_are_lowered_before_they_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_STAMP", 1000)
    monkeypatch.setattr(module, "_HALF_OF_STAMPS", 500)
    table = KeyTable(Bound(300))
    for begin in range(0, 5000, 10):
        if table.room < 10:
            table.evict()
        add(table, range(begin, begin + 10))
        assert len(table._ages) == len(table)
    kept = held(table, range(5000))
    assert kept == list(range(5000 - len(kept), 5000))


def test_a_dump_is_loaded_in_order_into_a_smaller_bound_too() -> None:
    table = KeyTable(Bound(20_000))
    add(table, range(20_000))
    table.drop_before(0.0)
    state = table.dump()
    same, smaller = KeyTable(Bound(20_000)), KeyTable(Bound(128))
    same.load(state)
    smaller.load(state)
    for loaded in (same, smaller):
        loaded.evict()
        kept = held(loaded, range(20_000))
        assert kept == list(range(20_000 - len(loaded), 20_000))
    assert len(smaller) == 112


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_keys is 0"):
        Bound(0)
