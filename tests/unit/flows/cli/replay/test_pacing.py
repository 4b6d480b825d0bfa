"""How `dedup replay` cuts replays into batches, and keeps to a rate."""

import time

import pytest

from flows.cli.replay.pacing import Pace, batches
from flows.cli.replay.selection import Origin, Replay


def replays(count: int, size: int = 10) -> list[Replay]:
    return [Replay(Origin("raw", "", 0, n), b"v" * size, None, [], 0) for n in range(count)]


def testbatches_have_an_end_in_records_and_in_bytes() -> None:
    assert [len(batch) for batch in batches(iter(replays(25)), 10)] == [10, 10, 5]
    assert [len(batch) for batch in batches(iter(replays(5, 2_500_000)), 10)] == [2, 2, 1]
    assert list(batches(iter([]), 10)) == []


@pytest.mark.parametrize("rate, most", [(float("inf"), 1000), (1e6, 1000), (100, 50), (0.1, 1)])
def test_a_batch_holds_what_half_a_second_may_bring(rate: float, most: int) -> None:
    assert Pace(rate).batch_records == most


def test_a_pace_is_kept() -> None:
    began = time.monotonic()
    pace = Pace(100)
    for _ in range(3):
        pace.wait(10)
    assert 0.3 <= time.monotonic() - began < 3
