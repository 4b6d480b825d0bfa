"""The specs of the operators, from the model's settings."""

import math
from collections.abc import Callable
from functools import partial

from operators.decode.events import EventSpec
from operators.keys.paths import parse_keys, resolve_shard
from operators.lanes.spec import LaneSpec
from operators.similarity.near_duplicates import NearSpec
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore
from operators.windows.tumbling import TumblingStore
from tests.model import Settings


def event_spec(settings: Settings, lanes: int) -> EventSpec:
    """Make the spec by which the operators read records."""
    shard = settings.shard_by
    if shard is None and settings.similarity is not None:
        shard = ()
    return EventSpec(
        combinations=parse_keys(settings.keys),
        shard=resolve_shard(
            parse_keys(settings.keys),
            settings.content_ignore,
            (shard,) if shard == "@key" else shard,
        ),
        time=settings.time,
        schema=settings.schema,
        content_ignore=frozenset(settings.content_ignore),
        text_fields=() if settings.similarity is None else settings.similarity_fields,
        max_future_seconds=settings.max_future,
        lanes=lanes,
    )


def new_store(settings: Settings) -> KeyStore:
    """Make an empty store of the window's kind."""
    seconds = settings.window_seconds
    if settings.window == "sliding":
        return SlidingStore(seconds)
    if settings.window == "session":
        return SessionStore(seconds)
    return TumblingStore(math.inf if settings.window == "forever" else seconds)


def lane_spec(
    settings: Settings, make_store: Callable[[Settings], KeyStore] = new_store
) -> LaneSpec:
    """Make the spec by which lanes decide."""
    return LaneSpec(
        partial(make_store, settings),
        settings.lateness,
        30.0,
        {"keys": "the same"},
        near=near_spec(settings),
    )


def near_spec(settings: Settings) -> NearSpec | None:
    """Make the spec by which lanes find near duplicates; None without them."""
    if settings.similarity is None:
        return None
    shard = event_spec(settings, 1).shard
    return NearSpec(
        threshold=settings.similarity,
        metric=settings.similarity_metric,
        shingle=settings.shingle,
        seconds=settings.similarity_seconds,
        max_records=1_000_000,
        one_shard=not shard.fields and not shard.content,
    )
