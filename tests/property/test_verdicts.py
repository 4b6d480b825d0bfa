"""The operators against the model, and what must not change a verdict."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.windows.store import KeyStore
from tests import strategies
from tests.model import Keys, Settings
from tests.pipeline import Restart, Verdicts, model_verdicts, new_store, run
from tests.strategies import WINDOWS, Shard, Step, Stream, Window

# Drawing a stream is what takes the time.
_FEW, _MANY = (
    hypothesis_settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    for examples in (40, 120)
)


# Duplicates by the second share nothing of the first but the user.
_SEVERAL: Keys = (("event_id", "user_id"), ("data.session", "user_id"))
# Values that records with one key need not share; the last is often not there at all.
_OTHER_SHARDS: list[Shard] = [("user_id",), ("event_type", "data.session"), "@key", ("more",)]


def _kafka_times(step: Step) -> Step:
    """A record's own timestamp is above 0 in Kafka, else there is none."""
    stamp = step.record.timestamp_ms
    known = None if stamp is None else max(abs(stamp), 1)
    return replace(step, record=replace(step.record, timestamp_ms=known))


@st.composite
def streams(
    draw: st.DrawFn,
    /,
    *,
    windows: tuple[Window, ...] = WINDOWS,
    keys: "Keys | None" = None,
    **options: Any,  # noqa: ANN401
) -> Stream:
    settings = draw(strategies.settings(windows=windows))
    if keys is not None:
        settings = replace(settings, keys=keys, shard_by=("user_id",))
    elif draw(st.integers(0, 2)) == 1:
        settings = replace(settings, shard_by=draw(st.sampled_from(_OTHER_SHARDS)))
    stream = draw(strategies.streams(settings, **options))
    if settings.time == "@record":
        return replace(stream, steps=tuple(map(_kafka_times, stream.steps)))
    return stream


def cuts(stream: Stream) -> st.SearchStrategy[frozenset[int]]:
    """Steps that begin a batch: none, some or all."""
    everywhere = frozenset(range(len(stream.steps)))
    some = st.frozensets(st.sampled_from(range(len(stream.steps))))
    return st.sampled_from([frozenset(), everywhere]) | some


def joins() -> st.SearchStrategy[list[int]]:
    """How many batches are joined, one number after another."""
    return st.just([1]) | st.lists(st.integers(1, 9), min_size=1, max_size=4)


def differences(one: Verdicts, other: Verdicts) -> dict[Any, Any]:
    return {place: (one[place], other[place]) for place in one if one[place] != other[place]}


@pytest.mark.parametrize("window", WINDOWS)
@_MANY
@given(data=st.data())
def test_verdicts_are_those_of_the_model(data: st.DataObject, window: Window) -> None:
    stream = data.draw(streams(windows=(window,), idle=data.draw(st.booleans())))
    expected = model_verdicts(stream)
    for verdict in expected.values():
        event(verdict.kind)
    decided = run(
        stream,
        lanes=data.draw(st.sampled_from([1, 3])),
        cuts=data.draw(cuts(stream)),
        pickled=data.draw(st.booleans()),
        joined=data.draw(joins()),
    )
    assert not differences(decided, expected)


@_FEW
@given(data=st.data())
def test_one_verdict_a_record(data: st.DataObject) -> None:
    stream = data.draw(streams(idle=True))
    asked = data.draw(cuts(stream)), data.draw(joins())
    decided = run(stream, lanes=4, cuts=asked[0], joined=asked[1])  # asserts: none twice
    assert len(decided) == len(stream.steps)


@_FEW
@given(data=st.data())
def test_the_cut_into_batches_changes_nothing(data: st.DataObject) -> None:
    stream = data.draw(streams(partitions=data.draw(st.sampled_from([1, 1, 3]))))
    one_by_one = run(stream, cuts=range(len(stream.steps)))
    assert not differences(run(stream), one_by_one)
    assert not differences(run(stream, cuts=data.draw(cuts(stream))), one_by_one)


@_FEW
@given(data=st.data())
def test_joining_batches_changes_nothing(data: st.DataObject) -> None:
    stream = data.draw(streams(partitions=3, idle=True))
    with_cuts = data.draw(cuts(stream))
    expected = run(stream, cuts=with_cuts)
    for joined in ([len(stream.steps) + 1], data.draw(joins())):
        assert not differences(run(stream, cuts=with_cuts, joined=joined), expected)


@_FEW
@given(data=st.data())
def test_lane_count_changes_nothing(data: st.DataObject) -> None:
    keys = data.draw(st.sampled_from([None, _SEVERAL]))
    stream = data.draw(streams(keys=keys, idle=True))
    one = run(stream, lanes=1)
    for lanes in (2, 4, 7):
        assert not differences(run(stream, lanes=lanes), one)


@_MANY
@given(data=st.data())
def test_restart_at_any_point_changes_nothing(data: st.DataObject) -> None:
    # No idle partitions: when one is, the clock says, and after a restart it says so later.
    stream = data.draw(streams())
    points = data.draw(st.lists(st.integers(0, len(stream.steps)), min_size=3, max_size=3))
    rewind_to, snapshot_at, crash_at = sorted(points)
    # Each lane commits by itself: when all die, some have come further than others.
    committed = data.draw(st.just(()) | st.tuples(*[st.integers(0, 20)] * 3))
    restart = Restart(snapshot_at, crash_at, rewind_to, data.draw(cuts(stream)), committed)
    joined = data.draw(joins())
    restarted = run(stream, cuts=data.draw(cuts(stream)), restart=restart, joined=joined)
    assert not differences(restarted, run(stream))


def _never_expiring(settings: Settings) -> KeyStore:
    store: Any = new_store(settings)
    store.expire = lambda _: None
    return store  # type: ignore[no-any-return]


@pytest.mark.parametrize("window", ["tumbling", "sliding", "session"])
@_MANY
@given(data=st.data())
def test_a_record_that_is_not_late_never_meets_dropped_state(
    data: st.DataObject, window: Window
) -> None:
    stream = data.draw(streams(windows=(window,), partitions=1, bad=False))
    with_cuts = data.draw(cuts(stream))
    kept = run(stream, cuts=with_cuts, make_store=_never_expiring)
    assert not differences(run(stream, cuts=with_cuts), kept)
