"""Up to which offset all lanes have answered a partition."""

from collections.abc import Sequence

import pytest

from connectors.kafka import starting_offsets
from connectors.kafka.access import KafkaAccess
from connectors.kafka.starting_offsets import answered_by_all
from operators.batches import InputPartition
from operators.errors import StateError
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
    found = answered_by_all(KafkaAccess("no:1", "app"), partitions, positions)
    starts = found.starts
    assert (partitions[3] in found.new) == (offset == FIRST)
    assert starts[partitions[3]] == offset
    assert starts.keys() == set(partitions)


@pytest.mark.parametrize("before, now", [("", "x"), ("x", "")])
def test_ids_that_appear_or_vanish_are_refused(before: str, now: str) -> None:
    lanes = [{InputPartition("t", before, 0): 7}, {}]
    with pytest.raises(StateError, match=r"topic t was read from brokers that g.* topic ids"):
        answered_by_all(KafkaAccess("no:1", "app"), [InputPartition("t", now, 0)], lanes)


def test_a_topic_created_again_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting_offsets, "firsts_of", lambda _, asked: dict.fromkeys(asked, FIRST))
    lanes = [{InputPartition("t", "x", 0): 7}]
    new = InputPartition("t", "y", 0)
    found = answered_by_all(KafkaAccess("no:1", "app"), [new], lanes)
    assert (found.starts, found.new) == ({new: FIRST}, [new])
