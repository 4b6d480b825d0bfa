"""The operators against the model, and what must not change a verdict."""

from typing import Any

import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.windows.store import KeyStore
from tests.batching import cuts, differences, group_sizes, streams
from tests.model import Keys, Settings
from tests.model_specs import new_store
from tests.pipeline import Restart, model_verdicts, run
from tests.strategies import WINDOWS, Window

# Most of the time goes into drawing streams.
_FEW, _MANY = (
    hypothesis_settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    for examples in (40, 120)
)


# Duplicates by the second combination share only the user with the first.
_SEVERAL: Keys = (("event_id", "user_id"), ("data.session", "user_id"))


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
        coalesced=data.draw(group_sizes()),
    )
    assert not differences(decided, expected)


@_FEW
@given(data=st.data())
def test_one_verdict_a_record(data: st.DataObject) -> None:
    stream = data.draw(streams(idle=True))
    # `run` asserts that no record is answered twice.
    decided = run(stream, lanes=4, cuts=data.draw(cuts(stream)), coalesced=data.draw(group_sizes()))
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
def test_coalescing_batches_changes_nothing(data: st.DataObject) -> None:
    stream = data.draw(streams(partitions=3, idle=True))
    with_cuts = data.draw(cuts(stream))
    expected = run(stream, cuts=with_cuts)
    for coalesced in ([len(stream.steps) + 1], data.draw(group_sizes())):
        assert not differences(run(stream, cuts=with_cuts, coalesced=coalesced), expected)


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
    # No idle partitions: the clock decides that one is idle, and after a restart it does so later.
    stream = data.draw(streams())
    points = data.draw(st.lists(st.integers(0, len(stream.steps)), min_size=3, max_size=3))
    rewind_to, snapshot_at, crash_at = sorted(points)
    # Each lane commits on its own: when all die, some have come further than others.
    committed = data.draw(st.just(()) | st.tuples(*[st.integers(0, 20)] * 3))
    restart = Restart(snapshot_at, crash_at, rewind_to, data.draw(cuts(stream)), committed)
    coalesced = data.draw(group_sizes())
    restarted = run(stream, cuts=data.draw(cuts(stream)), restart=restart, coalesced=coalesced)
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
