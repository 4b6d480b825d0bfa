"""The window that a record counts in, against the model, and what must not change it."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.batching import cuts, group_sizes, streams
from tests.model import Record, Settings, count_windows
from tests.pipeline import Pipeline, Restart, run_pipeline
from tests.strategies import Step, Stream

_SOME = hypothesis_settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_SECONDS = [0.3, 60.0, 3600.0]


def counted(stream: Stream, seconds: float, **how: Any) -> Counter[tuple[int, str]]:  # noqa: ANN401
    run_options = {name: how.pop(name) for name in ("cuts", "restart") if name in how}
    pipeline = Pipeline(stream.settings, len(stream.partitions), stats_seconds=seconds, **how)
    return run_pipeline(pipeline, stream, **run_options).statistics


@pytest.mark.parametrize("seconds", _SECONDS)
@_SOME
@given(data=st.data())
def test_windows_are_those_of_the_model(data: st.DataObject, seconds: float) -> None:
    stream = data.draw(streams(idle=data.draw(st.booleans())))
    steps = [(step.record, step.now, step.idle) for step in stream.steps]
    expected = count_windows(stream.settings, stream.partitions, steps, seconds)
    counts = counted(
        stream,
        seconds,
        lanes=data.draw(st.sampled_from([1, 3])),
        cuts=data.draw(cuts(stream)),
        pickled=data.draw(st.booleans()),
        coalesced=data.draw(group_sizes()),
    )
    assert counts == expected


@st.composite
def _uneven(draw: st.DrawFn) -> Stream:
    """Events over some minutes of one or two partitions, many of them late or invalid.

    No partition is idle: the clock decides that, and after a restart it does so later.
    """
    partitions = draw(st.integers(1, 2))
    times = st.none() | st.integers(0, 600)
    drawn = draw(st.lists(st.tuples(st.integers(0, partitions - 1), times), min_size=5))
    offsets = [0] * partitions
    steps = []
    for number, (partition, time) in enumerate(drawn):
        event = {"event_id": str(number), "user_id": "u", "event_type": "t", "data": {}}
        value = b"no JSON" if time is None else json.dumps(event | {"timestamp": time}).encode()
        steps.append(Step(Record(partition, offsets[partition], None, value), 1e6))
        offsets[partition] += 1
    return Stream(Settings(lateness=100.0), tuple(range(partitions)), tuple(steps))


@_SOME
@given(data=st.data())
def test_a_restart_changes_no_window(data: st.DataObject) -> None:
    stream = data.draw(_uneven())
    points = data.draw(st.lists(st.integers(0, len(stream.steps)), min_size=3, max_size=3))
    rewind_to, snapshot_at, crash_at = sorted(points)
    committed = data.draw(st.just(()) | st.tuples(*[st.integers(0, 20)] * 3))
    restart = Restart(snapshot_at, crash_at, rewind_to, data.draw(cuts(stream)), committed)
    counts = counted(
        stream,
        60.0,
        cuts=data.draw(cuts(stream)),
        restart=restart,
        coalesced=data.draw(group_sizes()),
    )
    steps = [(step.record, step.now, step.idle) for step in stream.steps]
    assert counts == count_windows(stream.settings, stream.partitions, steps, 60.0)
