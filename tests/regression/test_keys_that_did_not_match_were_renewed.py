"""With `lru`, RocksDB renewed every key that a duplicate had, not only the one it matched."""

from pathlib import Path

import numpy as np

from operators.changes import Delta, LaneChange, LaneProgress
from operators.windows.bound import Bound
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from operators.windows.disk.store import DiskStore
from operators.windows.tumbling import TumblingLayout

MEMORY = RocksMemory(8 << 20)
BOUND = Bound(64, renew=True)


def opened(folder: Path) -> DiskStore:
    return DiskStore(TumblingLayout(10.0), BOUND, RocksDatabase(folder, MEMORY, {}))


def ask(store: DiskStore, names: list[tuple[int, int]]) -> tuple[list[int], Delta]:
    """Ask about records with two keys each; return what matched, and the delta."""
    hashes = np.array([[(one, one), (two, two)] for one, two in names], np.uint64)
    times, references = np.ones(len(names)), np.arange(len(names))
    matches, delta = store.decide(hashes, times, references)
    return matches.combination.tolist(), delta


def test_only_the_key_that_matched_is_renewed(tmp_path: Path) -> None:
    store = opened(tmp_path / "lane")
    delta = ask(store, [(number, 100 + number) for number in range(1, 11)])[1]
    store.committed(LaneChange(LaneProgress(1, {0: 10}, {0: 1.0}, 1.0), delta))
    store.close()
    store = opened(tmp_path / "lane")
    found, renewed = ask(store, [(1, 102), (77, 103)])
    assert found == [0, 1]
    assert renewed.hashes.tolist() == [[1, 1], [103, 103]]
    assert renewed.references.tolist() == [0, 2]
    store.close()
