"""What a key costs: memory, disk and time of every store, and whether its memory has a bound.

`python -m bench.state` measures each store with each number of keys in a process of
its own, then adds new keys without end to bounded stores and looks at their memory.
It prints tables and writes `bench/results/state.json`.

Keys come as they come to a lane: some thousands at a time, a fifth of them repeats of
earlier ones, event time moving on, everything within one window, so all are held.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.harness.machine import write_results
from flows.assembly.specs import bound_of, disk_stores, new_store
from flows.settings.load import load_settings
from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.arrays import Floats, Hashes, Ints
from operators.windows.kinds import KINDS
from operators.windows.store import DurableStore, KeyStore

STORES: dict[str, dict[str, str]] = {
    **{name: {"DEDUP_WINDOW": name} for name, kind in KINDS.items() if not kind.endless},
    "bloom": {"DEDUP_WINDOW": "tumbling", "DEDUP_STATE": "bloom"},
    "rocksdb": {"DEDUP_WINDOW": "tumbling", "DEDUP_STATE": "rocksdb"},
}
_SIZES = (1_000_000, 10_000_000)
SIZES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(STORES, _SIZES),
    "bloom": (*_SIZES, 50_000_000),
    "rocksdb": (*_SIZES, 50_000_000),
}
# Kinds of bounded store that are given keys without end.
SOAKED: dict[str, dict[str, str]] = {
    "oldest": {**STORES["tumbling"], "DEDUP_EVICTION": "oldest"},
    "lru": {**STORES["tumbling"], "DEDUP_EVICTION": "lru"},
    "bloom": {**STORES["bloom"], "DEDUP_EVICTION": "oldest"},
    "rocksdb": {**STORES["rocksdb"], "DEDUP_EVICTION": "oldest"},
}
_SOAKED_KEYS = 1_000_000
# A batch of 10,000 records over four lanes.
_BATCH = 2500
_REPEATS = _BATCH // 5
_WINDOW_SECONDS = 86_400.0
_BEGAN = 1_699_920_000.0  # the first second of a window
_UNSEEN = 1_000_000
# A transaction's worth of batches, as with the default commit interval at full speed.
_COMMIT_EVERY = 4
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a store costs with so many keys.

    bytes_a_key: growth of the process's resident memory.  us_insert: microseconds a
    record while filling, repeats included.  us_at_last: the same over the last tenth.
    us_repeat: for batches of nothing but repeats.  longest_ms: the longest time that
    one batch took.  dump_seconds, load_seconds: taking and restoring a snapshot,
    pickled; 0 where the disk is the snapshot.  peak_mb: the most resident memory, the
    snapshot not included.  false_positives: share of a million unseen keys that count
    as repeats.
    """

    store: str
    keys: int
    bytes_a_key: float
    disk_bytes_a_key: float
    us_insert: float
    us_at_last: float
    us_repeat: float
    longest_ms: float
    dump_seconds: float
    load_seconds: float
    peak_mb: float
    false_positives: float


@dataclass(slots=True)
class Soak:
    """Memory of a store that is given new keys without end.

    rss_mb: resident memory over what it was before the first key, by `seconds`.
    """

    store: str
    max_keys: int
    keys_seen: int = 0
    evicted: int = 0
    seconds: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def keys_from(numbers: Ints) -> Hashes:
    """128-bit keys of numbers, which look random but can be made again: (n, 1, 2)."""
    with np.errstate(over="ignore"):
        low = numbers.astype(np.uint64) * _GOLDEN
        low ^= low >> np.uint64(29)
        low *= np.uint64(0xBF58476D1CE4E5B9)
        low ^= low >> np.uint64(32)
        high = (low ^ numbers.astype(np.uint64)) * np.uint64(0x94D049BB133111EB)
        high ^= high >> np.uint64(31)
    return np.stack([low, high], axis=1)[:, None, :]


class Filling:
    """Gives a store batch after batch, and commits as a lane does."""

    def __init__(self, store: KeyStore, seconds_a_key: float) -> None:
        self.store = store
        self.given = 0
        self._seconds = seconds_a_key
        self._draw = np.random.default_rng(1)
        self._waiting: list[Any] = []
        self._number = 0

    def batch(self, repeats: int = _REPEATS) -> tuple[Hashes, Floats, Ints]:
        """New keys, and repeats of earlier ones in between."""
        fresh = np.arange(self.given, self.given + _BATCH - repeats)
        again = self._draw.integers(0, max(self.given, 1), repeats)
        self.given += len(fresh)
        numbers = np.concatenate([fresh, again])
        if repeats:
            self._draw.shuffle(numbers)
        return keys_from(numbers), _BEGAN + numbers * self._seconds, numbers

    def add(self, batch: tuple[Hashes, Floats, Ints]) -> float:
        """Decide a batch; return the seconds that it took."""
        hashes, times, references = batch
        began = time.perf_counter()
        _, delta = self.store.decide(hashes, times, references)
        if isinstance(self.store, DurableStore):
            self._waiting.append(delta)
            if len(self._waiting) == _COMMIT_EVERY:
                self._commit(self.store)
        return time.perf_counter() - began

    def _commit(self, store: DurableStore) -> None:
        self._number += 1
        progress = LaneProgress(self._number, {0: self.given}, {0: _BEGAN}, _BEGAN)
        store.committed(LaneChange(progress, Delta.concat(self._waiting)))
        self._waiting.clear()


def _store(settings: Mapping[str, str], folder: Path, keys: int) -> KeyStore:
    found = load_settings(
        {
            "DEDUP_BROKERS": "127.0.0.1:9092",
            "DEDUP_LANES": "1",
            "DEDUP_WINDOW_SECONDS": str(int(_WINDOW_SECONDS)),
            "DEDUP_MAX_KEYS": str(keys),
            "DEDUP_STATE_DIR": str(folder),
            **settings,
        }
    )
    on_disk = disk_stores(found, bound_of(found))
    return new_store(found) if on_disk is None else on_disk(0)


def _rss() -> int:
    """Resident memory after freed memory was given back."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def measure(name: str, keys: int, folder: Path) -> Cost:
    """Measure one store in this process."""
    store = _store(STORES[name], folder, keys)
    filling = Filling(store, _WINDOW_SECONDS / keys / 2)
    # Whatever is made once is made now: loops are compiled, or fetched from where they are kept.
    first = Filling(_store(STORES[name], folder / "first", keys), 1.0)
    for _ in range(2):
        first.add(first.batch())
    filling.batch()
    filling.given = 0
    before = _rss()
    took: list[float] = []
    while filling.given < keys - _BATCH:
        took.append(filling.add(filling.batch()))
    process = psutil.Process()
    held = _rss() - before
    peak = process.memory_info().rss
    last = took[-len(took) // 10 :]
    repeated = [filling.add(filling.batch(_BATCH)) for _ in range(100)]
    unseen = keys_from(np.arange(_UNSEEN) + 2 * keys)
    times = np.full(_UNSEEN, _BEGAN + 1.0)
    wrong = float(np.mean(store.repeats(unseen, times)))
    count = len(store)
    dumped = loaded = 0.0
    if not isinstance(store, DurableStore):
        began = time.perf_counter()
        snapshot = pickle.dumps(store.dump(), pickle.HIGHEST_PROTOCOL)
        dumped = time.perf_counter() - began
        del store, filling
        began = time.perf_counter()
        fresh = _store(STORES[name], folder, keys)
        fresh.load(pickle.loads(snapshot))  # noqa: S301 - made above
        loaded = time.perf_counter() - began
        assert len(fresh) == count
        disk = 0
    else:
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Cost(
        store=name,
        keys=count,
        bytes_a_key=round(held / count, 2),
        disk_bytes_a_key=round(disk / count, 2),
        us_insert=round(sum(took) / len(took) / _BATCH * 1e6, 3),
        us_at_last=round(sum(last) / len(last) / _BATCH * 1e6, 3),
        us_repeat=round(sum(repeated) / len(repeated) / _BATCH * 1e6, 3),
        longest_ms=round(max(took) * 1e3, 1),
        dump_seconds=round(dumped, 2),
        load_seconds=round(loaded, 2),
        peak_mb=round(peak / 1e6),
        false_positives=round(wrong, 6),
    )


def soak(name: str, seconds: float, folder: Path) -> Soak:
    """Give a bounded store new keys for so long; event time stands, so none expires."""
    store = _store(SOAKED[name], folder, _SOAKED_KEYS)
    filling = Filling(store, 0.0)
    result = Soak(name, _SOAKED_KEYS)
    before = _rss()
    began = shown = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        filling.add(filling.batch())
        if now - shown > seconds / 120:
            shown = now
            result.seconds.append(round(now - began, 2))
            result.rss_mb.append(round((psutil.Process().memory_info().rss - before) / 1e6, 2))
    result.keys_seen, result.evicted = filling.given, store.evicted
    assert len(store) <= _SOAKED_KEYS
    return result


def _in_its_own_process(*arguments: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-state-") as folder:
        line = [sys.executable, "-m", "bench.state", "--folder", folder, *arguments]
        answer = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(answer)
    return found


def _print_cost(cost: Cost) -> None:
    print(
        f"{cost.store:9} {cost.keys / 1e6:5.0f} M  {cost.bytes_a_key:6.1f} B  "
        f"{cost.disk_bytes_a_key:6.1f} B  {cost.us_insert:7.2f}  {cost.us_at_last:7.2f}  "
        f"{cost.us_repeat:7.2f}  {cost.longest_ms:7.1f} ms  {cost.dump_seconds:6.2f} s  "
        f"{cost.load_seconds:6.2f} s  {cost.peak_mb:6.0f} MB  {cost.false_positives:.6f}",
        flush=True,
    )


def _numbers(text: str) -> Iterator[int]:
    return (int(number) for number in text.split(","))


def main() -> int:
    """Measure what was asked for, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m bench.state", description=__doc__)
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--keys", help="numbers of keys (default: 1, 10 and some 50 million)")
    parser.add_argument("--soak", type=float, default=120.0, help="seconds for each, 0 for none")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--soak-one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(options.one, int(options.keys), options.folder))))
        return 0
    if options.soak_one:
        print(json.dumps(asdict(soak(options.soak_one, options.soak, options.folder))))
        return 0

    print(
        "store      keys     memory      disk  us/rec.  at last  repeats  longest    "
        "   dump      load       peak  false positives"
    )
    costs, soaks = [], []
    for name in options.stores.split(","):
        for keys in _numbers(options.keys) if options.keys else SIZES[name]:
            costs.append(Cost(**_in_its_own_process("--one", name, "--keys", str(keys))))
            _print_cost(costs[-1])
    for name in SOAKED if options.soak else ():
        found = _in_its_own_process("--soak-one", name, "--soak", str(options.soak))
        soaks.append(Soak(**found))
        half = soaks[-1].rss_mb[len(soaks[-1].rss_mb) // 2 :]
        print(
            f"{name:9} {found['keys_seen'] / 1e6:.0f} M new keys, {found['evicted'] / 1e6:.0f} M "
            f"evicted, {_SOAKED_KEYS / 1e6:.0f} M held at most: {min(half):.0f} to "
            f"{max(half):.0f} MB in the second half",
            flush=True,
        )
    document = {
        "stores": [asdict(cost) for cost in costs],
        "soaks": [asdict(one) for one in soaks],
    }
    write_results("state", document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
