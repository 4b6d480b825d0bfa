"""A store on disk: never ahead of the last commit, and exact after a kill."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from flows.assembly.specs import bound_of, disk_stores
from operators.changes import Delta, LaneChange, LaneProgress
from operators.errors import SettingsError
from operators.lanes.lane import Lane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.lanes.spec import LaneSpec
from operators.windows.bound import Bound
from operators.windows.disk import store as disk_store
from operators.windows.disk.layout import (
    KeyLayout,
    entries_of,
    number_of,
    order_of,
    ordinal_of,
    sortable,
)
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from operators.windows.disk.store import DiskStore
from operators.windows.kinds import KINDS
from operators.windows.session import SessionStore
from operators.windows.session_layout import SessionLayout
from operators.windows.sliding import SlidingLayout
from operators.windows.tumbling import TumblingLayout, TumblingStore
from tests.builders import slice_of
from tests.cases.settings import KAFKA, load
from tests.stores import Asking

MEMORY = RocksMemory(8 << 20)
NewStore = Callable[[Path], DiskStore]
LAYOUTS: dict[str, KeyLayout] = {name: kind.new_layout(10.0) for name, kind in KINDS.items()}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def opened(folder: Path, layout: KeyLayout, bound: Bound | None = None) -> DiskStore:
    return DiskStore(layout, bound or Bound(), RocksDatabase(folder, MEMORY, {}))


def killed(store: DiskStore, folder: Path, to: Path) -> Path:
    """Copy the files as a killed process leaves them."""
    store.expire(-math.inf)  # the next slice writes committed changes
    shutil.copytree(folder, to)
    (to / "LOCK").unlink()
    return to


def progress(number: int) -> LaneProgress:
    return LaneProgress(number, {0: 10 * number, 1: 5}, {0: 1.5 * number}, 1.0 * number)


@every_layout
def test_only_committed_keys_survive_a_kill(layout: KeyLayout, tmp_path: Path) -> None:
    store = opened(tmp_path / "lane", layout)
    asking = Asking(store)
    assert store.progress is None
    assert asking((1, "a"), (2, "b"), (3, "a")) == "u u d0"
    assert asking((4, "c")) == "u"
    assert len(store) == 3
    store.committed(LaneChange(progress(1), asking.deltas[0]))
    assert asking((5, "b"), (5, "c"), (6, "d")) == "d1 d3 u"
    store.committed(LaneChange(progress(2), asking.deltas[1]))
    store.marked(77)
    again = opened(killed(store, tmp_path / "lane", tmp_path / "left"), layout)
    assert again.progress == progress(2)._replace(end=77)
    assert len(again) == 3
    asked = Asking(again)
    assert asked((7, "a"), (7, "b"), (7, "c"), (7, "d")) == "d0 d1 d3 u"
    again.close()
    store.close()


@every_layout
def test_the_store_in_memory_is_emptied(
    layout: KeyLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_store, "_MAX_KEYS_IN_MEMORY", 3)
    store = opened(tmp_path / "lane", layout)
    asking = Asking(store)
    names = "abcdefghij"
    for number, name in enumerate(names, 1):
        assert asking((1, name)) == "u"
        # Three batches are committed together, so that some keys always wait.
        if number % 3 == 0:
            store.committed(LaneChange(progress(number), Delta.concat(asking.deltas)))
            asking.deltas.clear()
    assert len(store) == 10
    for number, name in enumerate(names):
        assert asking((2, name)) == f"d{number}"
    assert len(store) == 10
    store.close()


def test_sessions_go_on_whatever_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_store, "_MAX_KEYS_IN_MEMORY", 0)
    store = opened(tmp_path / "lane", SessionLayout(10.0))
    asking = Asking(store)
    said = []
    for number, event in enumerate(
        [(0, "a"), (50, "a"), (8, "a"), (30, "a"), (40, "b"), (16, "a"), (22, "a"), (41, "a")]
    ):
        said.append(asking(event))
        if number % 2:
            store.committed(LaneChange(progress(number), Delta.concat(asking.deltas)))
            asking.deltas.clear()
    # 0–8–16–22–30 is one session.  Then 41 touches only the one at 50.
    assert said == ["u", "u", "d0", "u", "u", "d0", "d0", "d1"]
    assert len(store) == 3
    store.close()


@every_layout
def test_keys_are_dropped_from_the_disk(layout: KeyLayout, tmp_path: Path) -> None:
    if math.isinf(layout.seconds):
        pytest.skip("nothing expires")
    store = opened(tmp_path / "lane", layout)
    asking = Asking(store)
    for number in range(20):
        asking((number * 10.0, "a"), (number * 10.0 + 5, "b"))
        horizon = number * 10.0 - 25
        store.expire(horizon)
        store.committed(LaneChange(progress(number + 1), asking.deltas[-1], horizon=horizon))
    assert len(store) <= 12
    store.expire(1000.0)
    store.committed(LaneChange(progress(21), Delta.empty(), horizon=1000.0))
    store.expire(1000.0)
    assert len(store) == 0
    store.close()
    database = RocksDatabase(tmp_path / "lane", MEMORY, {})
    for family in ("keys", "order", "ends", "buckets"):
        assert list(database.items(family)) == [], family
    database.close()


def test_an_evicted_session_is_not_merged_with_a_later_one(tmp_path: Path) -> None:
    """The changelog has both sessions; the later one counts."""
    before = Asking(SessionStore(10.0, Bound(1)))
    assert before((0, "a"), (9, "a"), (0, "b"), (5, "a"), (14, "a")) == "u d0 u u d3"
    store = opened(tmp_path / "lane", LAYOUTS["session"])
    store.apply(before.deltas[0])
    store.committed(LaneChange(progress(1), before.deltas[0]))
    store.close()
    again = opened(tmp_path / "lane", LAYOUTS["session"])
    assert len(again) == 2
    assert Asking(again)((-5, "a"), (15, "a")) == "u d3"
    again.close()


def check_rows(store: DiskStore, database: RocksDatabase) -> None:
    """The number of keys is the number of rows, and every key has its row in the order."""
    stored = database.get_one("meta", b"progress")
    assert stored is not None
    held = msgspec.msgpack.decode(stored)["held"]
    keys = dict(database.items("keys"))
    assert held == sum(len(entries_of(value)) for value in keys.values())
    assert len(store) <= held + sum(change.count for change in store._uncommitted)
    order = dict(database.items("order"))
    assert all(order[order_of(ordinal_of(value))] == key for key, value in keys.items())


@every_layout
@pytest.mark.parametrize("renew", [False, True], ids=["oldest", "lru"])
@pytest.mark.parametrize("seed", range(3))
def test_the_count_is_the_number_of_keys_on_disk(
    layout: KeyLayout, renew: bool, seed: int, tmp_path: Path
) -> None:
    """Also when keys expire, are evicted, committed late or lost by a kill."""
    rng = np.random.default_rng(seed)
    bound = Bound(int(rng.choice([8, 14, 20])), renew)
    database = RocksDatabase(tmp_path / "lane", MEMORY, {})
    store, number, now, horizon = DiskStore(layout, bound, database), 0, 100.0, 0.0
    waiting: list[tuple[Delta, float]] = []
    evicted = 0
    for step in range(120):
        count = int(rng.integers(1, 12))
        now += float(rng.choice([0.0, 0.5, 3.0, 15.0]))
        times = np.maximum(now - rng.integers(0, 8, count), horizon)
        hashes = rng.integers(0, 40, (count, 1, 1)).astype(np.uint64).repeat(2, axis=2)
        references = np.arange(count) + 100 * step
        delta = store.decide(hashes, times, references).delta
        horizon = max(horizon, float(times.max()) - 8.0)
        waiting.append((delta, horizon))
        store.expire(horizon)
        rows = sum(len(delta) for delta, _ in waiting)
        # A key with a session that waits may have other sessions.
        more = rows if layout.entries_grow else 0
        assert len(store) <= max(bound.max_keys, rows) + more
        if rng.random() < 0.3:
            committed, waiting = waiting[:3], waiting[3:]
            number += 1
            delta = Delta.concat([delta for delta, _ in committed])
            store.committed(LaneChange(progress(number), delta, horizon=committed[-1][1]))
            store.expire(horizon)
            check_rows(store, database)
        if number and rng.random() < 0.05:
            database.close()
            evicted += store.evicted
            database = RocksDatabase(tmp_path / "lane", MEMORY, {})
            store, waiting = DiskStore(layout, bound, database), []
            check_rows(store, database)
    assert evicted + store.evicted > 0
    store.close()


@pytest.mark.parametrize("window", ["tumbling", "sliding", "session"])
def test_keys_are_dropped_as_fast_as_they_come(window: str, tmp_path: Path) -> None:
    """As in a backfill: large batches, and event time moves fast."""
    store, count = opened(tmp_path / "lane", LAYOUTS[window]), 5_000
    rng = np.random.default_rng(3)
    held = []
    for number in range(12):
        hashes = rng.integers(0, 2**64, (count, 1, 2), dtype=np.uint64)
        times, references = np.full(count, 15.0 * number), np.arange(count)
        delta = store.decide(hashes, times, references).delta
        store.expire(15.0 * number)
        store.committed(LaneChange(progress(number), delta, horizon=15.0 * number))
        held.append(len(store))
    store.close()
    assert max(held) <= 4 * count


@pytest.mark.parametrize("number", [-math.inf, -1e300, -1.5, -0.0, 0.0, 2.0, 1e300, math.inf])
def test_buckets_sort_as_their_bytes(number: float) -> None:
    numbers = np.array([-math.inf, -1e300, -2.0, -1.5, 0.0, 1.0, 2.0, 1e300, math.inf])
    keys = [sortable(numbers[at : at + 1]) for at in range(len(numbers))]
    assert sorted(keys) == keys
    assert number_of(sortable(np.array([number])) + b"and more") == number


def test_a_lane_goes_on_from_its_disk_and_reads_only_the_rest(tmp_path: Path) -> None:
    layout = TumblingLayout(10.0)
    folders = iter([tmp_path / "lane", tmp_path / "left", tmp_path / "other"])

    def spec(folder: Path) -> LaneSpec:
        return LaneSpec(
            lambda: TumblingStore(10.0),
            0.0,
            30.0,
            {},
            changelog=True,
            snapshot_max_bytes=1 << 30,
            open_store=lambda _: opened(folder, layout),
        )

    folder = next(folders)
    lane = Lane(0, spec(folder))
    assert lane.resume() is None
    changes = [
        lane.decide(slice_of(3 * n, [(1.0, name) for name in names])).change
        for n, names in enumerate(("abc", "bde", "xyz"))
    ]
    lane.committed(changes[0])
    lane.committed(changes[1])
    lane.marked(12)
    snapshot: LaneSnapshot = lane.snapshot()
    assert snapshot.keys is None  # even if there are few
    assert isinstance(lane.store, DiskStore)
    left = killed(lane.store, folder, next(folders))

    again = Lane(0, spec(left))
    kept = again.resume()
    assert kept is not None
    assert (kept.sequence, kept.end, again.sequence, again.progress) == (2, 12, 2, {0: 6})
    again.apply([changes[1]])  # the last one is read again
    again.apply([changes[2]])
    assert (again.sequence, len(again.store)) == (3, 8)

    elsewhere = Lane(0, spec(next(folders)))
    for change in changes:
        elsewhere.apply([change])
    for restored in (again, elsewhere):
        answer = restored.decide(slice_of(9, [(1.0, name) for name in "azen"]))
        assert answer.verdicts.tolist() == [1, 1, 1, 0]
        assert answer.matches.originals[:3].tolist() == [0, 8, 5]


def test_without_the_package_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(state="rocksdb", brokers=KAFKA["DEDUP_BROKERS"])
    monkeypatch.setitem(__import__("sys").modules, "operators.windows.disk.rocksdb", None)
    with pytest.raises(SettingsError, match=r"pip install 'bytewax-dedup\[rocksdb\]'"):
        disk_stores(settings, bound_of(settings))


def test_settings_open_a_store_for_each_lane(tmp_path: Path) -> None:
    for window in LAYOUTS:
        settings = load(
            state="rocksdb",
            brokers=KAFKA["DEDUP_BROKERS"],
            window=window,
            state_dir=str(tmp_path / window),
        )
        open_store = disk_stores(settings, bound_of(settings))
        assert open_store is not None
        stores = [open_store(lane) for lane in range(2)]
        assert (tmp_path / window / "dedup" / "lane-001" / "CURRENT").exists()
        for store in stores:
            assert isinstance(store, DiskStore)
            store.close()
    assert disk_stores(load(), Bound()) is None


def test_two_unique_records_that_rounding_puts_into_one_bucket_are_both_kept(
    tmp_path: Path,
) -> None:
    """At these times the next double is one window later."""
    times = (900719925474099.4, 900719925474099.5)
    layout = SlidingLayout(0.1)
    store = opened(tmp_path / "lane", layout)
    asking = Asking(store)
    for number, time in enumerate(times, 1):
        assert asking((time, "a")) == "u"
        store.committed(LaneChange(progress(number), asking.deltas[-1]))
    left = killed(store, tmp_path / "lane", tmp_path / "left")
    again = Asking(opened(left, layout))
    assert again((times[0], "a"), (times[1], "a")) == "d0 d1"
