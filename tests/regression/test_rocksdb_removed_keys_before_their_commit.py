"""RocksDB removed keys for records whose transaction had not committed.

The next start decided those records again, without the originals of their repeats: these
came out as unique a second time.
"""

import shutil
from pathlib import Path

import pytest

from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.verdicts import VerdictBatch
from operators.windows.bound import Bound
from operators.windows.disk.layout import KeyLayout
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from operators.windows.disk.store import DiskStore
from operators.windows.kinds import KINDS
from operators.windows.tumbling import TumblingStore
from tests.builders import slice_of

MEMORY = RocksMemory(8 << 20)
LAYOUTS = {name: kind.new_layout(10.0) for name, kind in KINDS.items()}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
every_eviction = pytest.mark.parametrize("renew", [False, True], ids=["oldest", "lru"])


def lane_on(folder: Path, layout: KeyLayout, bound: Bound) -> Lane:
    """A lane as it is after a start: it goes on from what is on disk."""

    def open_store(number: int) -> DiskStore:
        return DiskStore(layout, bound, RocksDatabase(folder, MEMORY, {"lane": number}))

    lane = Lane(0, LaneSpec(lambda: TumblingStore(10.0), 0.0, 30.0, {}, open_store=open_store))
    lane.resume()
    return lane


def commit(lane: Lane, batch: VerdictBatch) -> None:
    lane.committed(batch.change)


def answers(batch: VerdictBatch) -> list[tuple[int, int]]:
    return list(zip(batch.verdicts.tolist(), batch.matches.originals.tolist(), strict=True))


def killed(folder: Path) -> Path:
    """What a killed process leaves behind: the files as they are."""
    left = folder.with_name(folder.name + "-left")
    shutil.copytree(folder, left)
    (left / "LOCK").unlink()
    return left


@every_layout
@pytest.mark.parametrize("written", [False, True], ids=["committed before", "committed after"])
def test_what_expired_is_there_until_the_commit(
    layout: KeyLayout, written: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "lane"
    lane = lane_on(folder, layout, Bound())
    first = lane.decide(slice_of(0, [(1.0, "k"), (2.0, "l")]))
    second = slice_of(2, [(3.0, "k"), (1000.0, "z")])
    third = slice_of(4, [(1001.0, "y"), (5000.0, "z")])
    if not written:
        commit(lane, first)
    before = [answers(lane.decide(second)), answers(lane.decide(third))]
    if written:
        commit(lane, first)
        lane.decide(slice_of(6, [(5001.0, "x")]))
    assert before[0] == [(1, 0), (0, -1)]
    lane = lane_on(killed(folder), layout, Bound())
    assert lane.progress == {0: 2}
    assert [answers(lane.decide(second)), answers(lane.decide(third))] == before


@every_layout
@every_eviction
def test_what_was_evicted_is_there_until_the_commit(
    layout: KeyLayout, renew: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "lane"
    bound = Bound(64, renew)
    lane = lane_on(folder, layout, bound)
    names = [chr(1000 + number) for number in range(80)]
    commit(lane, lane.decide(slice_of(0, [(1.0, name) for name in names[:60]])))
    slices = [
        slice_of(60, [(1.0, name) for name in names[:2]]),
        slice_of(62, [(1.0, name) for name in names[60:]]),
    ]
    before = [answers(lane.decide(one)) for one in slices]
    assert before[0] == [(1, 0), (1, 1)]
    assert lane.store.evicted >= 16
    lane = lane_on(killed(folder), layout, bound)
    assert (lane.progress, len(lane.store)) == ({0: 60}, 60)
    assert [answers(lane.decide(one)) for one in slices] == before
