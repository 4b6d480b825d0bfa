"""The kinds of stores that the contract tests go through, and ways to ask them."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.arrays import Floats, Hashes, Ints
from operators.windows.bloom import BloomStore
from operators.windows.bound import Bound
from operators.windows.disk.layout import KeyLayout
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from operators.windows.disk.store import DiskStore
from operators.windows.kinds import KINDS as WINDOWS
from operators.windows.kinds import WindowKind
from operators.windows.store import Decision, KeyStore

SECONDS = 10.0
# Errors are so rare that a test never sees one.
ERROR = 1e-9
MANY = Bound(1_000_000)

NewStore: TypeAlias = Callable[[Bound], KeyStore]


@dataclass(frozen=True)
class Kind:
    """A store, its window, whether it can name the original, and its layout on disk."""

    window: str
    new: NewStore
    originals: bool = True
    layout: KeyLayout | None = None


class Committing:
    """A store on disk that commits at once what it decides or applies."""

    def __init__(self, layout: KeyLayout, bound: Bound, folder: Path | None = None) -> None:
        self._made = (layout, bound)
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="dedup-store-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._folder = folder
        database = RocksDatabase(folder / "lane-000", RocksMemory(8 << 20), {"lane": 0})
        # Called before the one above: RocksDB crashes if its files are deleted while it writes.
        weakref.finalize(self, database.close)
        self.store = DiskStore(layout, bound, database)
        self._number = 0 if self.store.progress is None else self.store.progress.sequence
        self._opened_before: Committing | None = None  # it deletes the folder in the end
        self._horizon = -math.inf
        self.repeats, self.size_bytes = self.store.repeats, self.store.size_bytes
        self.is_expired = self.store.is_expired

    def __len__(self) -> int:
        return len(self.store)

    @property
    def evicted(self) -> int:
        return self.store.evicted

    @property
    def false_positive_rate(self) -> float:
        return self.store.false_positive_rate

    def _commit(self, delta: Delta) -> None:
        self._number += 1
        progress = LaneProgress(self._number, {0: self._number}, {0: 1.0}, 0.5)
        self.store.committed(LaneChange(progress, delta, horizon=self._horizon))

    def expire(self, horizon: float) -> None:
        self._horizon = horizon
        self._commit(Delta.empty())
        self.store.expire(horizon)

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        decision = self.store.decide(hashes, times, references)
        self._commit(decision.delta)
        return decision

    def apply(self, delta: Delta) -> None:
        self.store.apply(delta)
        self._commit(delta)

    def opened_again(self) -> Committing:
        """Close the database, and open it as after a restart."""
        self.store.close()
        again = Committing(*self._made, self._folder)
        again._opened_before = self
        assert again._number == self._number
        return again

    def dump(self) -> dict[str, Any]:
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        raise NotImplementedError


def _in_memory(window: WindowKind) -> NewStore:
    return lambda bound: window.new_store(SECONDS, bound)


def _on_disk(layout: KeyLayout) -> NewStore:
    return lambda bound: Committing(layout, bound)


def _bloom(window: WindowKind) -> NewStore:
    return lambda bound: BloomStore(window.length(SECONDS), bound, ERROR)


def _kinds() -> Iterator[tuple[str, Kind]]:
    for name, window in WINDOWS.items():
        yield name, Kind(name, _in_memory(window))
        layout = window.new_layout(SECONDS)
        yield f"disk-{name}", Kind(name, _on_disk(layout), layout=layout)
        if window.in_buckets:
            yield f"bloom-{name}", Kind(name, _bloom(window), originals=False)


KINDS = dict(_kinds())
IN_MEMORY = {name: kind for name, kind in KINDS.items() if not name.startswith("disk")}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
in_memory = pytest.mark.parametrize("kind", IN_MEMORY.values(), ids=IN_MEMORY)
every_eviction = pytest.mark.parametrize("renew", [False, True], ids=["oldest", "lru"])
SOME = hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def numbered(numbers: Sequence[int]) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint64]]:
    """Keys that look random, by number."""
    low = np.asarray(numbers, np.uint64)
    words = np.stack([low * np.uint64(0x9E3779B97F4A7C15), low * np.uint64(0xC2B2AE3D27D4EB4F)])
    return np.ascontiguousarray((words ^ (words >> np.uint64(29))).T)[:, None]


def feed(store: KeyStore, numbers: Sequence[int], time: float = 1.0) -> tuple[list[int], Delta]:
    """Ask about numbered keys; return those that are repeats, and the delta."""
    hashes, times = numbered(numbers), np.full(len(numbers), time)
    references = np.asarray(numbers, np.int64)
    matches, delta = store.decide(hashes, times, references)
    repeats = [n for n, c in zip(numbers, matches.combination.tolist(), strict=True) if c >= 0]
    return repeats, delta


def held_of(store: KeyStore, numbers: Sequence[int]) -> list[int]:
    repeats = store.repeats(numbered(numbers), np.full(len(numbers), 1.0))
    return np.asarray(numbers)[repeats].tolist()  # type: ignore[no-any-return]
