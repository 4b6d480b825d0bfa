"""From settings to the parts of the dataflow."""

from __future__ import annotations

import math
import os
import threading
from functools import partial
from wsgiref.simple_server import WSGIRequestHandler, make_server

from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import FixedPartitionedSink
from prometheus_client import make_wsgi_app

from connectors.kafka_clients import KafkaAccess
from connectors.kafka_sink import KafkaSink, SinkSettings
from connectors.kafka_source import KafkaSource, SourceSettings
from connectors.kafka_topics import ensure_topics
from connectors.lines_sink import LinesSink, LinesSinkSettings
from connectors.lines_source import STDIN, LinesSource
from flows.launch import Launch
from flows.settings import Settings, fingerprint
from operators.batches import Batch
from operators.deduplicate import Lane, LaneSnapshot, LaneSpec, OpenLane
from operators.encode import Encoder, Output, json_encoder, kafka_encoder
from operators.errors import DedupError, SettingsError
from operators.events import EventSpec
from operators.observing import Observer
from operators.verdicts import VERDICTS
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore
from operators.windows.tumbling import TumblingStore


def event_spec(settings: Settings) -> EventSpec:
    """How records are read."""
    return EventSpec(
        combinations=settings.keys,
        shard=settings.shard,
        time=settings.time,
        schema=settings.event_schema,
        content_ignore=frozenset(settings.content_ignore),
        max_future_seconds=settings.max_future_seconds,
        lanes=settings.lanes,
        types=settings.stats_topic is not None,
    )


def new_store(settings: Settings) -> KeyStore:
    """Make an empty store of the window kind asked for."""
    seconds = settings.window_seconds
    if settings.window == "sliding":
        return SlidingStore(seconds)
    if settings.window == "session":
        return SessionStore(seconds)
    return TumblingStore(math.inf if settings.window == "forever" else seconds)


def lane_opener(settings: Settings) -> OpenLane:
    """Make what opens lanes: from nothing, or from a recovery snapshot."""
    spec = LaneSpec(
        new_store=partial(new_store, settings),
        allowed_lateness_seconds=settings.allowed_lateness_seconds,
        idle_seconds=settings.idle_seconds,
        fingerprint=fingerprint(settings),
    )

    def open_lane(number: int, snapshot: LaneSnapshot | None) -> Lane:
        lane = Lane(number, spec)
        if snapshot is not None:
            lane.restore(snapshot)
        return lane

    return open_lane


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


Ends = tuple[FixedPartitionedSource[Batch, object], Encoder, FixedPartitionedSink[Output, object]]


def ends_of(settings: Settings, launch: Launch, observer: Observer) -> Ends:
    """Source, encoder and sink: Kafka's, or those of the embedded mode."""
    return (
        _embedded(settings, launch, observer)
        if settings.embedded
        else _kafka(settings, observer)
    )


def _names(settings: Settings) -> list[str]:
    return [combination.name for combination in settings.keys]


def _kafka(settings: Settings, observer: Observer) -> Ends:
    access = kafka_access(settings)
    topics = output_topics(settings)
    wanted = [topic for topic in (*topics.values(), settings.stats_topic) if topic]
    ensure_topics(access, settings.input_topic, wanted, create=settings.create_topics)
    source = KafkaSource(
        SourceSettings(
            access=access,
            topic=settings.input_topic,
            start=settings.start,
            stop_at_end=settings.stop_at_end,
            idle_seconds=settings.idle_seconds,
        )
    )
    sink = KafkaSink(SinkSettings(access, topics, settings.lanes), observer)
    return source, kafka_encoder(settings.input_topic, _names(settings)), sink


def _embedded(settings: Settings, launch: Launch, observer: Observer) -> Ends:
    if settings.input_file == STDIN and launch.recovery is not None:
        msg = (
            "DEDUP_INPUT_FILE=- cannot be used with -r: standard input cannot be read again after "
            "a restart. Name a file, or leave out -r."
        )
        raise SettingsError(msg)
    sink = LinesSink(
        LinesSinkSettings(
            folder=settings.output_dir, lanes=settings.lanes, recovery=launch.recovery
        ),
        observer,
    )
    return LinesSource(settings.input_file), json_encoder(_names(settings)), sink


class _Quiet(WSGIRequestHandler):
    """Scrapes are not news."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


def serve_metrics(port: int, observer: Observer) -> None:
    """Serve `/metrics` in a thread.  Raises DedupError if the port cannot be had."""
    try:
        server = make_server(
            "",
            port,
            make_wsgi_app(observer.metrics.registry),
            handler_class=_Quiet,
        )
    except OSError as error:
        msg = (
            f"cannot listen on port {port} (DEDUP_METRICS_PORT plus the number of the process): "
            f"{os.strerror(error.errno or 0)}. Choose another port."
        )
        raise DedupError(msg) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
