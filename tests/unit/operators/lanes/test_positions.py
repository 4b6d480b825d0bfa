"""The positions of a lane: a gap or a step back is an error, answered rows are skipped."""

import pytest

from operators.errors import StateError
from operators.lanes.positions import Positions
from tests.builders import slice_of


@pytest.mark.parametrize("start", [0, 4, 6, 100])
def test_a_gap_or_a_step_back_in_a_run_is_an_error(start: int) -> None:
    positions = Positions(7)
    positions.skip_answered(slice_of(0, [(50, "a")] * 5), [0])
    message = f"lane 7 .* partition 0 up to offset 5, but the next records begin at {start}"
    with pytest.raises(StateError, match=message):
        positions.skip_answered(slice_of(start, [(50, "b")]), [0])


def test_each_partition_has_its_own_position() -> None:
    positions = Positions(0)
    positions.skip_answered(slice_of(0, [(50, "a")], partitions=2), [0])
    positions.skip_answered(slice_of(700, [(50, "b")], partition=1, partitions=2), [1])
    positions.skip_answered(slice_of(1, [(50, "c")], partitions=2), [0])
    assert positions.progress == {0: 2, 1: 701}
    with pytest.raises(StateError, match="partition 1 up to offset 701"):
        positions.skip_answered(slice_of(702, [(50, "d")], partition=1, partitions=2), [1])


def test_answered_rows_are_skipped_until_the_progress_is_reached() -> None:
    positions = Positions(0)
    positions.progress = {0: 5}
    slice_, skipped = positions.skip_answered(slice_of(3, [(50, name) for name in "abc"]), [0])
    assert (slice_.offsets.tolist(), skipped) == ([5], 2)
    assert positions.progress == {0: 6}
