"""The step that decides: the mapper that Bytewax's `stateful_map` runs for each lane.

A lane gets slices of every input partition.  It gives each record its verdict, in the
order of the rules in docs/reference/verdicts.md.
"""

from __future__ import annotations

from collections.abc import Callable

from operators.batches import Slice
from operators.lanes.lane import Lane, OpenLane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.verdicts import VerdictBatch


def lane_mapper(
    open_lane: OpenLane,
    on_decided: Callable[[Lane], None] | None = None,
    on_answer: Callable[[VerdictBatch], None] | None = None,
) -> Callable[[Lane | LaneSnapshot | None, Slice], tuple[Lane, VerdictBatch]]:
    """Make the mapper for `stateful_map`, keyed by lane.

    open_lane: called for a lane's first slice; after a restart with the snapshot that
    Bytewax kept.  on_decided, on_answer: called after each slice.
    """

    def decide(state: Lane | LaneSnapshot | None, slice_: Slice) -> tuple[Lane, VerdictBatch]:
        lane = state if isinstance(state, Lane) else open_lane(slice_.lane, state)
        answer = lane.decide(slice_)
        if on_decided is not None:
            on_decided(lane)
        if on_answer is not None:
            on_answer(answer)
        return lane, answer

    return decide
