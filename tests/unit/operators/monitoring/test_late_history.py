"""One line says how many records of a partition were late when the job found it."""

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from operators.batches import Slice
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.monitoring.late_history import LateHistory
from operators.verdicts import VerdictBatch
from operators.windows.tumbling import TumblingStore
from tests.builders import TOPIC, slice_of

SPEC = LaneSpec(partial(TumblingStore, 100.0), 10.0, 30.0, {})
WATERMARK = 5000.0


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def answered(
    lane: int,
    start: int,
    times: list[float],
    history_end: int | None,
    **more: Any,  # noqa: ANN401
) -> VerdictBatch:
    """The answer of a lane that is at `WATERMARK` to records of partition 1."""
    deciding = Lane(lane, SPEC)
    deciding.decide(slice_of(0, [(WATERMARK, "a")], partitions=1))
    events = [(time, str(row)) for row, time in enumerate(times)]
    found: Slice = slice_of(start, events, lane=lane, partition=1, partitions=1, **more)
    found.spans.spans = [replace(span, history_end=history_end) for span in found.spans.spans]
    return deciding.decide(found)


def test_the_line_comes_when_all_lanes_have_decided_what_was_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    history = LateHistory([0, 1])
    history.decided(answered(0, 7, [1.0, WATERMARK, 2.0], 12))
    history.decided(answered(1, 7, [3.0], 12, end=10))
    history.decided(answered(0, 10, [4.0, WATERMARK], 12))
    assert not caplog.messages
    history.decided(answered(1, 10, [WATERMARK], 12, end=12))
    [line] = caplog.messages
    assert line.startswith(f"{TOPIC}/1 had records when the job found it: of those at offsets 7 to")
    assert "offsets 7 to 11, 4 are late" in line


def test_what_came_later_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    history = LateHistory([0])
    history.decided(answered(0, 7, [1.0, 1.0, 1.0], 9))
    history.decided(answered(0, 10, [1.0], None))
    [line] = caplog.messages
    assert "offsets 7 to 8, 2 are late" in line


def test_a_history_that_is_cut_short_is_told_so_far(caplog: pytest.LogCaptureFixture) -> None:
    history = LateHistory([0])
    history.decided(answered(0, 7, [1.0, 1.0], 1000))
    history.decided(answered(0, 9, [], 9))
    [line] = caplog.messages
    assert "offsets 7 to 8, 2 are late" in line


def test_nothing_is_said_where_nothing_was_late(caplog: pytest.LogCaptureFixture) -> None:
    history = LateHistory([0])
    history.decided(answered(0, 7, [WATERMARK], 8))
    assert not caplog.messages
    history.decided(answered(0, 20, [1.0], 21))  # another time it has
    assert len(caplog.messages) == 1


def test_records_that_were_answered_before_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    lane, history = Lane(0, SPEC), LateHistory([0])
    lane.decide(slice_of(0, [(WATERMARK, "a")], partitions=1))
    known = slice_of(7, [(1.0, "b")], partition=1)
    lane.decide(known)
    restarted = Lane(0, SPEC)
    restarted.restore(lane.snapshot())
    again = slice_of(7, [(1.0, "b"), (1.0, "c")], partition=1)
    again.spans.spans = [replace(span, history_end=9) for span in again.spans.spans]
    answer = restarted.decide(again)
    assert answer.skipped == 1
    assert np.count_nonzero(answer.verdicts == 2) == 1
    history.decided(answer)
    assert "1 are late" in caplog.text
