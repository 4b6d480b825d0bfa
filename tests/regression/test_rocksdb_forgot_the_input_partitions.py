"""RocksDB took what a changelog record leaves out for all there is, and forgot the rest.

A record of a transaction names only the positions that moved.  A lane that was restored from one
wrote it to its disk as it was: the next start lacked the other positions, and the table of input
partitions, and was refused.
"""

from pathlib import Path

from operators.changes import Delta, LaneChange, LaneProgress
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.windows.tumbling import TumblingStore
from tests.builders import inputs
from tests.unit.operators.windows.disk.test_store import LAYOUTS, opened


def lane_on(folder: Path) -> Lane:
    spec = LaneSpec(
        lambda: TumblingStore(10.0),
        *(0.0, 30.0, {}),
        changelog=True,
        open_store=lambda _: opened(folder, LAYOUTS["tumbling"]),
    )
    return Lane(0, spec)


def test_a_restored_lane_writes_all_that_it_knows(tmp_path: Path) -> None:
    whole = LaneProgress(1, {0: 2, 1: 5}, {0: 1.0, 1: 2.0}, 1.0, inputs(2))
    moved = [LaneProgress(n, {0: n}, {0: float(n)}, 2.0) for n in (2, 3)]
    lane = lane_on(tmp_path / "lane")
    for progress in (whole, *moved):
        lane.apply([LaneChange(progress, Delta.empty())])
    assert lane.progress == {0: 3, 1: 5}
    lane.store.close()  # type: ignore[attr-defined]

    again = lane_on(tmp_path / "lane")
    held = again.resume()
    assert held is not None
    assert held.inputs == inputs(2)
    assert set(held.positions) == {0, 1}
    assert held.positions[1] == 5
