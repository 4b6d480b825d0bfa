"""From settings to what each part of the dataflow is made of; no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from connectors.kafka.access import KafkaAccess
from flows.settings.fingerprint import fingerprint
from flows.settings.model import Settings
from operators.decode.events import EventSpec
from operators.errors import SettingsError
from operators.fingerprint import TOPIC_ID
from operators.lanes.lane import LaneSpec
from operators.monitoring.observer import Observer
from operators.similarity.near_duplicates import NearSpec
from operators.statistics.windowed import StatisticsSettings
from operators.verdicts import VERDICTS
from operators.windows.bloom import BloomStore
from operators.windows.bound import Bound
from operators.windows.kinds import KINDS
from operators.windows.store import KeyStore


def event_spec(settings: Settings) -> EventSpec:
    """How records are read."""
    return EventSpec(
        combinations=settings.keys,
        shard=settings.shard,
        time=settings.time,
        schema=settings.event_schema,
        content_ignore=frozenset(settings.content_ignore),
        text_fields=() if settings.similarity is None else settings.similarity_fields,
        max_future_seconds=settings.max_future_seconds,
        lanes=settings.lanes,
        types=settings.stats_topic is not None,
    )


def bound_of(settings: Settings) -> Bound:
    """How many keys a lane holds: an equal part."""
    return Bound(settings.max_keys // settings.lanes, renew=settings.eviction == "lru")


def new_store(settings: Settings) -> KeyStore:
    """Make an empty store of the window kind asked for."""
    kind, bound = KINDS[settings.window], bound_of(settings)
    if settings.state == "bloom":
        return BloomStore(kind.length(settings.window_seconds), bound, settings.bloom_error)
    return kind.new_store(settings.window_seconds, bound)


def lane_spec(settings: Settings, observer: Observer, topic_id: str | None = None) -> LaneSpec:
    """How a lane judges.  topic_id: Kafka's id of the input topic, where there is one."""
    known = {} if topic_id is None else {TOPIC_ID: topic_id}
    return LaneSpec(
        new_store=partial(new_store, settings),
        allowed_lateness_seconds=settings.allowed_lateness_seconds,
        idle_seconds=settings.idle_seconds,
        fingerprint=fingerprint(settings) | known,
        changelog=exactly_once(settings),
        snapshot_max_bytes=settings.snapshot_max_bytes,
        stats_seconds=None if settings.stats_topic is None else settings.stats_seconds,
        on_snapshot=observer.liveness.epoch_ended,
        near=near_spec(settings),
        open_store=disk_stores(settings, bound_of(settings)),
    )


def near_spec(settings: Settings) -> NearSpec | None:
    """How near duplicates are looked for; None where they are not."""
    if settings.similarity is None:
        return None
    return NearSpec(
        threshold=settings.similarity,
        metric=settings.similarity_metric,
        shingle=settings.similarity_shingle,
        seconds=settings.similarity_seconds,
        most_records=settings.max_keys // settings.lanes,
        one_shard=not settings.shard.fields and not settings.shard.content,
    )


def exactly_once(settings: Settings) -> bool:
    """Whether lanes write in transactions; the files of the embedded mode are exact without."""
    return not settings.embedded and settings.guarantee == "exactly_once"


def kafka_access(settings: Settings) -> KafkaAccess:
    """Where Kafka is and how to get in."""
    if settings.brokers is None:
        msg = "DEDUP_BROKERS is not set: name the brokers as host:port,…"
        raise SettingsError(msg)
    return KafkaAccess(
        brokers=settings.brokers,
        app_id=settings.app_id,
        common=settings.kafka,
        consumer=settings.consumer,
        producer=settings.producer,
    )


def output_topics(settings: Settings) -> dict[str, str]:
    """Verdict → topic; empty for count and drop."""
    topics = (
        settings.unique_topic,
        settings.duplicate_topic,
        settings.late_topic,
        settings.invalid_topic,
    )
    return dict(zip(VERDICTS, topics, strict=True))


def statistics_settings(settings: Settings) -> StatisticsSettings:
    """How statistics are counted."""
    return StatisticsSettings(
        settings.stats_seconds, settings.lanes, settings.allowed_lateness_seconds
    )


# An old process that has lost its lanes to this one needs so long to notice and end.
_IN_USE_SECONDS = 20.0
_AGAIN_SECONDS = 0.2


def disk_stores(settings: Settings, bound: Bound) -> Callable[[int], KeyStore] | None:
    """What opens the store of a lane; None where state is not kept on disk.

    Raises SettingsError if RocksDB is not installed.
    """
    if settings.state != "rocksdb":
        return None
    try:  # an extra
        from operators.windows.disk.rocksdb import InUseError, RocksDatabase, RocksMemory  # noqa: PLC0415
        from operators.windows.disk.store import DiskStore  # noqa: PLC0415
    except ImportError as error:
        msg = (
            "DEDUP_STATE=rocksdb needs the package rocksdict: pip install "
            "'bytewax-dedup[rocksdb]', or use DEDUP_STATE=memory"
        )
        raise SettingsError(msg) from error
    layout = KINDS[settings.window].new_layout(settings.window_seconds)
    memory = RocksMemory()
    identity = {"DEDUP_APP_ID": settings.app_id, **fingerprint(settings)}

    def open_store(lane: int) -> KeyStore:
        folder = settings.state_dir / settings.app_id / f"lane-{lane:03d}"
        deadline = time.monotonic() + _IN_USE_SECONDS
        while True:
            try:
                database = RocksDatabase(folder, memory, {**identity, "lane": lane})
            except InUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_SECONDS)
            else:
                return DiskStore(layout, bound, database)

    return open_store
