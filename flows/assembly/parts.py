"""From settings to the parts of the dataflow: of Kafka, or of the embedded mode."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink

from connectors.at_least_once.sink import KafkaSink, SinkSettings
from connectors.at_least_once.statistics_sink import StatsSink
from connectors.exactly_once.beginning import begin_application
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.lane_opener import LaneOpener
from connectors.exactly_once.lane_transactions import WriterSettings
from connectors.exactly_once.sink import (
    TransactionalKafkaSink,
    TransactionalSinkSettings,
)
from connectors.files.input_file import can_be_read_again
from connectors.files.sink import LinesSink, LinesSinkSettings
from connectors.files.source import LinesSource
from connectors.files.statistics_sink import StatsLinesSink
from connectors.kafka.access import KafkaAccess
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.group_offsets import group_offsets
from connectors.kafka.input_topics import input_partitions
from connectors.kafka.permissions import CHANGELOG, READ, WRITE, check_permissions
from connectors.kafka.source import KafkaSource
from connectors.kafka.source_settings import SourceSettings
from connectors.kafka.starting_offsets import (
    InputOffsets,
    answered_by_all,
    offsets_to_begin,
)
from connectors.kafka.timestamp_limits import check_timestamp_limits
from connectors.kafka.timing import PollTiming
from connectors.kafka.topics import ensure_topics
from flows.assembly.specs import (
    event_spec,
    exactly_once,
    kafka_access,
    lane_spec,
    output_topics,
    statistics_settings,
)
from flows.launch import Launch
from flows.settings.model import Settings
from operators.batches import Batch
from operators.coalesce import batch_limit
from operators.decode.decoder import Decoder
from operators.encode.encoder import Encoder, Output, json_encoder, kafka_encoder
from operators.errors import SettingsError, SourceError
from operators.fingerprint import check_fingerprint
from operators.lanes.lane import Lane, OpenLane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.lanes.placement import lanes_on
from operators.lanes.spec import LaneSpec
from operators.monitoring.observer import Observer
from operators.similarity.near_duplicates import SIMILAR
from operators.statistics.summarize import Statistic
from operators.statistics.windowed import StatisticsSettings

log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class StatisticsParts:
    """How statistics are counted, and where they go."""

    settings: StatisticsSettings
    sink: FixedPartitionedSink[Statistic, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of the dataflow.  statistics: None without `DEDUP_STATS_TOPIC`."""

    source: FixedPartitionedSource[Batch, Any]
    decode: Decoder
    open_lane: OpenLane
    encode: Encoder
    sink: FixedPartitionedSink[Output, Any]
    statistics: StatisticsParts | None


def parts_for(
    settings: Settings, launch: Launch, observer: Observer, recovery: str | None = None
) -> Parts:
    """Make all parts of the dataflow.

    recovery: identity of the recovery directory, which the embedded mode needs; None without
    a directory.  Raises DedupError.
    """
    if settings.embedded:
        return _embedded(settings, observer, recovery)
    return _kafka(settings, launch, observer)


def _embedded(settings: Settings, observer: Observer, recovery: str | None) -> Parts:
    resumable = recovery is not None
    if resumable and not can_be_read_again(settings.input_file):
        msg = (
            f"DEDUP_INPUT_FILE={settings.input_file} cannot be used with -r: standard input, or "
            "a pipe, cannot be read again after a restart. Name a file, or leave out -r."
        )
        raise SettingsError(msg)
    return Parts(
        source=LinesSource(settings.input_file, resumable=resumable, observer=observer),
        decode=Decoder(event_spec(settings)),
        open_lane=_observed(partial(_open_from_snapshot, lane_spec(settings, observer)), observer),
        encode=json_encoder(_names(settings)),
        sink=LinesSink(LinesSinkSettings(settings.output_dir, settings.lanes, recovery), observer),
        statistics=_statistics(settings, recovery=recovery),
    )


def _kafka(settings: Settings, launch: Launch, observer: Observer) -> Parts:
    reading = kafka_access(settings)
    reading.check()
    # What waits for brokers is alive; what follows the input in the background does not count.
    access = replace(reading, waiting=observer.liveness.note_outage)
    changelog = Changelog(access, settings.lanes) if exactly_once(settings) else None
    _prepare_topics(settings, access, changelog)
    spec = lane_spec(settings, observer)
    if changelog is not None:
        changelog.ensure(settings.input_topic)
    source = KafkaSource(
        _source_settings(settings, launch, reading),
        _input_offsets(settings, launch, access, changelog, spec.fingerprint),
        observer=observer,
    )
    topics = output_topics(settings)
    open_lane: OpenLane
    sink: FixedPartitionedSink[Output, Any]
    if changelog is None:
        access = fitted(access, settings.input_topic, topics.values())
        open_lane = partial(_open_from_snapshot, spec)
        sink = KafkaSink(SinkSettings(access, topics, settings.lanes), observer)
    else:
        _warn_of_idle_workers(settings, launch)
        access = fitted(access, settings.input_topic, [*topics.values(), changelog.topic])
        opener = LaneOpener(access, changelog, spec, recovery=launch.recovery is not None)
        open_lane = opener.open
        sink = TransactionalKafkaSink(
            TransactionalSinkSettings(
                _writer_settings(settings, launch, spec),
                settings.lanes,
                lanes_on(settings.lanes, launch.workers, launch.own_workers),
            ),
            opener,
            changelog,
            observer,
        )
    return Parts(
        source=source,
        decode=Decoder(event_spec(settings)),
        open_lane=_observed(open_lane, observer),
        encode=kafka_encoder(_names(settings)),
        sink=sink,
        statistics=_statistics(settings, access),
    )


def _prepare_topics(settings: Settings, access: KafkaAccess, changelog: Changelog | None) -> None:
    """Check permissions and topics; create the output topics that are missing."""
    of_verdicts = output_topics(settings).values()
    outputs = [topic for topic in (*of_verdicts, settings.stats_topic) if topic]
    permissions = {settings.input_topic: READ, **dict.fromkeys(outputs, WRITE)}
    if changelog is not None:
        permissions[changelog.topic] = CHANGELOG
    check_permissions(access, permissions)
    ensure_topics(access, settings.input_topic, outputs, create=settings.create_topics)
    check_timestamp_limits(access, settings.input_topic, of_verdicts)


def _input_offsets(
    settings: Settings,
    launch: Launch,
    access: KafkaAccess,
    changelog: Changelog | None,
    fingerprint: dict[str, str],
) -> InputOffsets:
    """Where to begin to read.

    Raises StateError, before anything is read, if the changelog has another fingerprint: other
    settings, or another input topic.
    """
    topic = settings.input_topic
    partitions = input_partitions(access, access.admin(), [topic])
    if not partitions:
        # A source without partitions would end at once, as if the input had been read.
        msg = f"cannot read {topic}: it has no partitions. Was it deleted just now?"
        raise SourceError(msg)
    if changelog is None:
        return group_offsets(access, partitions, settings.start, begins=launch.process == 0)
    answered = begin_application(
        access,
        changelog,
        lambda: offsets_to_begin(access, partitions, settings.start),
        fingerprint,
    )
    for lane in answered:
        if lane is not None:
            check_fingerprint(lane.fingerprint, fingerprint, changelog.topic)
    positions = [{} if lane is None else lane.positions for lane in answered]
    return answered_by_all(access, partitions, positions)


def _source_settings(settings: Settings, launch: Launch, access: KafkaAccess) -> SourceSettings:
    return SourceSettings(
        access=access,
        topics=[settings.input_topic],
        stop_at_end=settings.stop_at_end,
        idle_seconds=settings.idle_seconds,
        reading=PollTiming(_commit_seconds(settings)) if exactly_once(settings) else PollTiming(),
        limit=batch_limit(settings.lanes),
        epoch_seconds=launch.epoch_seconds if launch.workers > 1 else 0.0,
    )


def _writer_settings(settings: Settings, launch: Launch, spec: LaneSpec) -> WriterSettings:
    return WriterSettings(
        topics=output_topics(settings),
        interval_seconds=_commit_seconds(settings),
        is_expired=spec.expiry(),
        fingerprint=spec.fingerprint,
        workers=launch.workers,
    )


def _commit_seconds(settings: Settings) -> float:
    return settings.commit_interval_ms / 1000.0


def _warn_of_idle_workers(settings: Settings, launch: Launch) -> None:
    if launch.workers > settings.lanes and launch.process == 0:
        log.warning(
            "%d workers, but DEDUP_LANES=%d: the others have nothing to decide",
            *(launch.workers, settings.lanes),
        )


def _open_from_snapshot(spec: LaneSpec, index: int, snapshot: LaneSnapshot | None) -> Lane:
    lane = Lane(index, spec)
    if snapshot is not None:
        lane.restore(snapshot)
    return lane


def _observed(open_lane: OpenLane, observer: Observer) -> OpenLane:
    """Tell the observer about each lane that is opened."""

    def open_observed(index: int, snapshot: LaneSnapshot | None) -> Lane:
        lane = open_lane(index, snapshot)
        observer.opened(lane)
        return lane

    return open_observed


def _names(settings: Settings) -> list[str]:
    """Names of the key combinations, as `dedup.matched` gives them."""
    names = [combination.name for combination in settings.keys]
    return names if settings.similarity is None else [*names, SIMILAR]


def _statistics(
    settings: Settings, access: KafkaAccess | None = None, recovery: str | None = None
) -> StatisticsParts | None:
    if settings.stats_topic is None:
        return None
    sink: FixedPartitionedSink[Statistic, Any]
    if access is None:
        sink = StatsLinesSink(settings.output_dir, recovery)
    else:
        sink = StatsSink(fitted(access, None, [settings.stats_topic]), settings.stats_topic)
    return StatisticsParts(statistics_settings(settings), sink)
