"""Up to which offset all lanes have answered a partition."""

from collections.abc import Sequence

import pytest

from connectors.kafka import starting_offsets
from connectors.kafka.access import KafkaAccess
from connectors.kafka.starting_offsets import answered_by_all
from tests.builders import inputs

FIRST = 2


@pytest.mark.parametrize(
    "lanes, offset",
    [
        ([], FIRST),
        ([{}, {}], FIRST),
        ([{3: 7}], 7),
        ([{3: 7}, {3: 5, 4: 1}], 5),
        ([{3: 7}, {4: 1}], FIRST),
    ],
    ids=["no changelog", "new lanes", "one lane", "two lanes", "a lane that does not know it"],
)
def test_the_lane_that_is_behind_counts(
    lanes: Sequence[dict[int, int]], offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = inputs(5)
    monkeypatch.setattr(starting_offsets, "firsts_of", lambda _, asked: dict.fromkeys(asked, FIRST))
    positions = [{partitions[number]: at for number, at in lane.items()} for lane in lanes]
    starts = answered_by_all(KafkaAccess("no:1", "app"), partitions, positions)
    assert starts[partitions[3]] == offset
    assert starts.keys() == set(partitions)
