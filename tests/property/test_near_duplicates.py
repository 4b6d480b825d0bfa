"""The operators against the model, with near duplicates looked for."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests import strategies
from tests.batching import cuts, differences
from tests.model_specs import near_spec
from tests.pipeline import Pipeline, Restart, model_verdicts, run
from tests.strategies import WINDOWS, Stream, Window

_SOME = hypothesis_settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def streams(draw: st.DrawFn, /, **options: Any) -> Stream:  # noqa: ANN401
    settings = draw(strategies.settings(similar=True, windows=options.pop("windows", WINDOWS)))
    # In Kafka a record's timestamp is positive; any other means that it has none.
    if settings.time == "@record":
        settings = replace(settings, time="timestamp")
    return draw(strategies.streams(settings, **options))


@pytest.mark.parametrize("window", WINDOWS)
@_SOME
@given(data=st.data())
def test_verdicts_are_those_of_the_model(data: st.DataObject, window: Window) -> None:
    stream = data.draw(streams(windows=(window,), idle=data.draw(st.booleans())))
    expected = model_verdicts(stream)
    for verdict in expected.values():
        event(verdict.kind if verdict.similarity is None else "similar")
    decided = run(
        stream,
        lanes=data.draw(st.sampled_from([1, 3])),
        cuts=data.draw(cuts(stream)),
        pickled=data.draw(st.booleans()),
    )
    assert not differences(decided, expected)


@_SOME
@given(data=st.data())
def test_restart_at_any_point_changes_nothing(data: st.DataObject) -> None:
    stream = data.draw(streams())
    points = data.draw(st.lists(st.integers(0, len(stream.steps)), min_size=3, max_size=3))
    rewind_to, snapshot_at, crash_at = sorted(points)
    committed = data.draw(st.just(()) | st.tuples(*[st.integers(0, 20)] * 3))
    restart = Restart(snapshot_at, crash_at, rewind_to, data.draw(cuts(stream)), committed)
    restarted = run(stream, cuts=data.draw(cuts(stream)), restart=restart)
    assert not differences(restarted, run(stream))


@_SOME
@given(data=st.data())
def test_a_record_that_is_not_late_never_meets_dropped_texts(data: st.DataObject) -> None:
    stream = data.draw(streams(bad=False))
    pipeline = Pipeline(stream.settings, len(stream.partitions))
    keeping = Pipeline(stream.settings, len(stream.partitions))
    for lane in keeping.opened:
        assert lane.near is not None
        lane.near.expire = lambda _: None  # type: ignore[method-assign,assignment]
    for step in stream.steps:
        pipeline.feed([step])
        keeping.feed([step])
    assert near_spec(stream.settings) is not None
    assert not differences(pipeline.verdicts, keeping.verdicts)
