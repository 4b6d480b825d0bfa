"""Streams of Kafka records, and the ways to cut them into batches that must not matter."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests import strategies
from tests.model import Keys
from tests.pipeline import Verdicts
from tests.strategies import WINDOWS, Shard, Step, Stream, Window

# Fields that records with the same key need not share; the last one is often missing.
_OTHER_SHARDS: list[Shard] = [("user_id",), ("event_type", "data.session"), "@key", ("more",)]


def _kafka_times(step: Step) -> Step:
    """Make a record's timestamp positive: in Kafka any other means that it has none."""
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
    """Draw a stream and its settings.

    keys: the combinations, sharded by user; drawn if None.
    """
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
    """Draw the steps that begin a batch: none, some or all."""
    everywhere = frozenset(range(len(stream.steps)))
    drawn = st.frozensets(st.sampled_from(range(len(stream.steps))))
    return st.sampled_from([frozenset(), everywhere]) | drawn


def group_sizes() -> st.SearchStrategy[list[int]]:
    """Draw how many batches are coalesced, group after group."""
    return st.just([1]) | st.lists(st.integers(1, 9), min_size=1, max_size=4)


def differences(left: Verdicts, right: Verdicts) -> dict[Any, Any]:
    """Return the records with different verdicts, and both verdicts of each."""
    return {place: (left[place], right[place]) for place in left if left[place] != right[place]}
