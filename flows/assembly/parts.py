"""From settings to the parts of the dataflow."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink

from connectors.at_least_once.sink import KafkaSink, SinkSettings
from connectors.at_least_once.statistics_sink import StatsSink
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.lane_opener import LaneOpener
from connectors.exactly_once.lane_writer import WriterSettings
from connectors.exactly_once.sink import (
    TransactionalKafkaSink,
    TransactionalSinkSettings,
)
from connectors.files.input_file import can_be_read_again
from connectors.files.sink import LinesSink, LinesSinkSettings
from connectors.files.source import LinesSource
from connectors.files.statistics_sink import StatsLinesSink
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.permissions import CHANGELOG, READ, WRITE, check_permissions
from connectors.kafka.source import KafkaSource, SourceSettings
from connectors.kafka.timing import PollTiming
from connectors.kafka.topic_watch import watch_topic
from connectors.kafka.topics import ensure_topics, topic_id
from flows.assembly.specs import exactly_once, kafka_access, lane_spec, output_topics
from flows.launch import Launch
from flows.process.recovery import recovery_identity
from flows.settings.model import Settings
from operators.batches import Batch
from operators.coalesce import batch_limit
from operators.encode.encoder import Encoder, Output, json_encoder, kafka_encoder
from operators.errors import SettingsError
from operators.fingerprint import check_fingerprint
from operators.lanes.lane import Lane, LaneSpec, OpenLane
from operators.lanes.placement import EVEN_WORKERS, lanes_meet
from operators.lanes.snapshot import LaneSnapshot
from operators.monitoring.observer import Observer
from operators.similarity.near_duplicates import SIMILAR
from operators.statistics.summarize import Statistic

log = logging.getLogger("dedup")


def _open_from_snapshot(spec: LaneSpec, number: int, snapshot: LaneSnapshot | None) -> Lane:
    lane = Lane(number, spec)
    if snapshot is not None:
        lane.restore(snapshot)
    return lane


@dataclass(frozen=True, slots=True)
class Parts:
    """What the dataflow is put together from."""

    source: FixedPartitionedSource[Batch, Any]
    open_lane: OpenLane
    encode: Encoder
    sink: FixedPartitionedSink[Output, Any]


def parts_for(settings: Settings, launch: Launch, observer: Observer) -> Parts:
    """Kafka's parts, or those of the embedded mode.  Raises DedupError."""
    parts = (_embedded if settings.embedded else _kafka)(settings, launch, observer)

    def open_lane(number: int, snapshot: LaneSnapshot | None) -> Lane:
        lane = parts.open_lane(number, snapshot)
        observer.opened(lane)
        return lane

    return replace(parts, open_lane=open_lane)


def _names(settings: Settings) -> list[str]:
    names = [combination.name for combination in settings.keys]
    return names if settings.similarity is None else [*names, SIMILAR]


def _kafka(settings: Settings, launch: Launch, observer: Observer) -> Parts:
    access = kafka_access(settings)
    access.check()
    topics = output_topics(settings)
    wanted = [topic for topic in (*topics.values(), settings.stats_topic) if topic]
    changelog = Changelog(access, settings.lanes) if exactly_once(settings) else None
    needs = {settings.input_topic: READ, **dict.fromkeys(wanted, WRITE)}
    if changelog is not None:
        needs[changelog.topic] = CHANGELOG
    check_permissions(access, needs)
    ensure_topics(access, settings.input_topic, wanted, create=settings.create_topics)
    known = topic_id(access, access.admin(), settings.input_topic)
    spec = lane_spec(settings, observer, known)
    if known is not None:
        watch_topic(access, settings.input_topic, known)
    positions: list[dict[int, int]] = []
    if changelog is not None:
        changelog.ensure(settings.input_topic)
        positions = _lane_positions(changelog, spec.fingerprint)
    interval = settings.commit_interval_ms / 1000.0
    source = KafkaSource(
        SourceSettings(
            access=access,
            topic=settings.input_topic,
            start=settings.start,
            stop_at_end=settings.stop_at_end,
            idle_seconds=settings.idle_seconds,
            reading=PollTiming() if changelog is None else PollTiming(interval),
            limit=batch_limit(settings.lanes),
            workers=launch.workers,
            lane_positions=positions,
        ),
        observer=observer,
    )
    encode = kafka_encoder(settings.input_topic, _names(settings))
    if changelog is None:
        access = fitted(access, settings.input_topic, topics.values())
        sink = KafkaSink(SinkSettings(access, topics, settings.lanes), observer)
        return Parts(source, partial(_open_from_snapshot, spec), encode, sink)
    access = fitted(access, settings.input_topic, [*topics.values(), changelog.topic])
    opened = LaneOpener(access, changelog, spec.fingerprint, recovery=launch.recovery is not None)
    writer = WriterSettings(
        topics=topics,
        interval_seconds=interval,
        allowed_lateness_seconds=settings.allowed_lateness_seconds,
        is_expired=spec.expiry(),
        fingerprint=spec.fingerprint,
        workers=launch.workers,
    )
    if launch.workers > settings.lanes and launch.process == 0:
        log.warning(
            "%d workers, but DEDUP_LANES=%d: the others have nothing to decide",
            launch.workers,
            settings.lanes,
        )
    together = lanes_meet(settings.lanes, launch.workers)
    if settings.state == "rocksdb" and not together:
        msg = (
            f"DEDUP_STATE=rocksdb needs each lane's state and output on one worker, which cannot "
            f"be had with {launch.workers} workers: use at most {EVEN_WORKERS}, or "
            "DEDUP_STATE=memory"
        )
        raise SettingsError(msg)
    return Parts(
        source,
        lambda number, snapshot: opened.lane(number, spec, snapshot),
        encode,
        TransactionalKafkaSink(
            TransactionalSinkSettings(writer, settings.lanes, together),
            opened,
            changelog,
            observer,
        ),
    )


def _lane_positions(changelog: Changelog, wanted: dict[str, str]) -> list[dict[int, int]]:
    """How far each lane has answered each partition.

    Raises StateError, before anything is read, if the lanes were written with other
    settings than those wanted, or of another input topic.
    """
    found = []
    for record in changelog.last_records():
        if record is not None:
            check_fingerprint(record.fingerprint, wanted, changelog.topic)
        found.append({} if record is None else record.change.positions)
    return found


def _embedded(settings: Settings, launch: Launch, observer: Observer) -> Parts:
    resumable = launch.recovery is not None
    if resumable and not can_be_read_again(settings.input_file):
        msg = (
            f"DEDUP_INPUT_FILE={settings.input_file} cannot be used with -r: standard input, or "
            "a pipe, cannot be read again after a restart. Name a file, or leave out -r."
        )
        raise SettingsError(msg)
    sink = LinesSink(
        LinesSinkSettings(
            folder=settings.output_dir, lanes=settings.lanes, recovery=_identity(launch)
        ),
        observer,
    )
    return Parts(
        LinesSource(settings.input_file, resumable=resumable, observer=observer),
        partial(_open_from_snapshot, lane_spec(settings, observer)),
        json_encoder(_names(settings)),
        sink,
    )


def _identity(launch: Launch) -> str | None:
    return None if launch.recovery is None else recovery_identity(launch.recovery)


def stats_sink(settings: Settings, launch: Launch) -> FixedPartitionedSink[Statistic, Any] | None:
    """Where statistics go; None where none are wanted."""
    if settings.stats_topic is None:
        return None
    if settings.embedded:
        return StatsLinesSink(settings.output_dir, _identity(launch))
    access = fitted(kafka_access(settings), None, [settings.stats_topic])
    return StatsSink(access, settings.stats_topic)
