"""From settings to the specs of the parts.  Nothing is opened here but a lane's disk store."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from connectors.kafka.access import KafkaAccess
from flows.settings.fingerprint import fingerprint
from flows.settings.model import Settings
from operators.decode.events import EventSpec
from operators.errors import SettingsError
from operators.lanes.spec import LaneSpec
from operators.monitoring.observer import Observer
from operators.similarity.near_duplicates import NearSpec
from operators.statistics.windowed import StatisticsSettings
from operators.verdicts import VERDICTS
from operators.windows.bloom import BloomStore
from operators.windows.bound import Bound
from operators.windows.kinds import KINDS
from operators.windows.store import KeyStore

# An old process that has lost its lanes to this one needs at most this long to notice and end.
_MAX_IN_USE_SECONDS = 20.0
_RETRY_SECONDS = 0.2


def event_spec(settings: Settings) -> EventSpec:
    """How records become events."""
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
        format="json",
    )


def bound_of(settings: Settings) -> Bound:
    """How many keys a lane holds: each lane gets an equal part."""
    return Bound(settings.max_keys // settings.lanes, renew=settings.eviction == "lru")


def new_store(settings: Settings) -> KeyStore:
    """Make an empty store for the window and state of the settings."""
    kind, bound = KINDS[settings.window], bound_of(settings)
    if settings.state == "bloom":
        return BloomStore(kind.length(settings.window_seconds), bound, settings.bloom_error)
    return kind.new_store(settings.window_seconds, bound)


def lane_spec(settings: Settings, observer: Observer) -> LaneSpec:
    """How a lane decides."""
    return LaneSpec(
        new_store=partial(new_store, settings),
        allowed_lateness_seconds=settings.allowed_lateness_seconds,
        idle_seconds=settings.idle_seconds,
        fingerprint=fingerprint(settings),
        changelog=exactly_once(settings),
        snapshot_max_bytes=settings.snapshot_max_bytes,
        stats_seconds=None if settings.stats_topic is None else settings.stats_seconds,
        on_snapshot=observer.liveness.epoch_ended,
        near=near_spec(settings),
        open_store=disk_stores(settings, bound_of(settings)),
    )


def near_spec(settings: Settings) -> NearSpec | None:
    """How near duplicates are searched for; None without `DEDUP_SIMILARITY`."""
    if settings.similarity is None:
        return None
    return NearSpec(
        threshold=settings.similarity,
        metric=settings.similarity_metric,
        shingle=settings.similarity_shingle,
        seconds=settings.similarity_seconds,
        max_records=settings.max_keys // settings.lanes,
        one_shard=not settings.shard.fields and not settings.shard.content,
    )


def exactly_once(settings: Settings) -> bool:
    """Whether lanes write in transactions.  Embedded mode needs none: its files are exact."""
    return not settings.embedded and settings.guarantee == "exactly_once"


def kafka_access(settings: Settings) -> KafkaAccess:
    """Addresses of the brokers, and how to sign in.  Raises SettingsError without brokers."""
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
    """Verdict → topic; an empty name means count and drop."""
    topics = (
        settings.unique_topic,
        settings.duplicate_topic,
        settings.late_topic,
        settings.invalid_topic,
    )
    return dict(zip(VERDICTS, topics, strict=True))


def statistics_settings(settings: Settings) -> StatisticsSettings:
    """Windows of the statistics."""
    return StatisticsSettings(settings.stats_seconds, settings.lanes)


def disk_stores(settings: Settings, bound: Bound) -> Callable[[int], KeyStore] | None:
    """Return a function that opens a lane's store on disk; None if keys are not kept on disk.

    Raises SettingsError if RocksDB is not installed.
    """
    if settings.state != "rocksdb":
        return None
    try:  # RocksDB is an optional extra.
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
        deadline = time.monotonic() + _MAX_IN_USE_SECONDS
        while True:
            try:
                database = RocksDatabase(folder, memory, {**identity, "lane": lane})
            except InUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return DiskStore(layout, bound, database)

    return open_store
