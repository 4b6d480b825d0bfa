"""Up to which offset all lanes have answered a partition."""

from collections.abc import Sequence

import pytest

from connectors.kafka.starting_offsets import _answered_by_all


@pytest.mark.parametrize(
    "lane_positions, offset",
    [
        ([], None),
        ([{}, {}], None),
        ([{3: 7}], 7),
        ([{3: 7}, {3: 5, 4: 1}], 5),
        ([{3: 7}, {4: 1}], None),
    ],
    ids=["no changelog", "new lanes", "one lane", "two lanes", "a lane that does not know it"],
)
def test_the_lane_that_is_behind_counts(
    lane_positions: Sequence[dict[int, int]], offset: int | None
) -> None:
    assert _answered_by_all(lane_positions, 3) == offset
