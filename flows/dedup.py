"""The main job.  Run it with `python -m bytewax.run flows.dedup`.

    source ─ coalesce ─ decode ─ cut into lanes ─ deduplicate: stateful_map keyed by lane
                                                │ verdict batches ─ windowed statistics ─ sink
                    split: unique │ duplicate │ late │ invalid
                             └────── encode ─────┘
                            merge ─ sink

Items are batches of columns, never single records (docs/adr/0001).
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from functools import partial

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from connectors.shutdown import (
    exit_on_user_error,
    exit_with_error,
    has_peers,
    stop_on_signals,
    stop_requested,
)
from flows.assembly.parts import parts_for
from flows.launch import Launch, read_launch
from flows.process.clock import start_clock_watch
from flows.process.health import health_of
from flows.process.logs import ProgressLog, set_up_logging
from flows.process.malloc import tune_malloc
from flows.process.peers import watch_peers
from flows.process.recovery import (
    check_recovery_directory,
    hold_recovery_directory,
    recovery_identity,
)
from flows.process.watchdog import start_watchdog
from flows.settings.load import load_settings
from flows.settings.model import Settings
from flows.web.endpoints import serve_endpoints
from operators.batches import Batch, DecodedBatch, Slice
from operators.coalesce import coalesce
from operators.deduplicate import lane_mapper
from operators.errors import DedupError
from operators.lanes.cut import cut
from operators.lanes.placement import lane_names, lanes_on, worker_names
from operators.monitoring.late_history import LateHistory
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.split import split
from operators.statistics.windowed import windowed_statistics


def build(settings: Settings, launch: Launch, observer: Observer) -> Dataflow:
    """Build the dataflow.  Raises DedupError for errors that a user can cause."""
    identity = None
    if settings.embedded and launch.recovery is not None:
        identity = recovery_identity(launch.recovery)
    parts = parts_for(settings, launch, observer, identity)
    names = lane_names(settings.lanes)

    @exit_on_user_error
    def cut_into_lanes(batch: DecodedBatch) -> list[tuple[str, Slice]]:
        return [(names[slice_.lane], slice_) for slice_ in cut(batch, settings.lanes)]

    history = LateHistory(lanes_on(settings.lanes, launch.workers, launch.own_workers))
    decide = exit_on_user_error(lane_mapper(parts.open_lane, observer.decided, history.decided))
    encode = exit_on_user_error(parts.encode)
    flow = Dataflow("dedup")
    batches = op.input("shares", flow, parts.source)
    if launch.processes > 1:
        _stop_together(batches, launch)
    coalesced = op.flat_map_batch("coalesce", batches, partial(coalesce, lanes=settings.lanes))
    decoded = op.map("decode", coalesced, exit_on_user_error(parts.decode))
    slices = op.flat_map("cut_into_lanes", decoded, cut_into_lanes)
    verdicts = op.stateful_map("deduplicate", slices, decide)
    by_verdict = split("split", verdicts)
    outputs = op.merge(
        "merge",
        op.map_value("encode_unique", by_verdict.unique, encode),
        op.map_value("encode_duplicate", by_verdict.duplicate, encode),
        op.map_value("encode_late", by_verdict.late, encode),
        op.map_value("encode_invalid", by_verdict.invalid, encode),
    )
    op.output("sink", outputs, parts.sink)
    if parts.statistics is not None:
        statistics = windowed_statistics("statistics", verdicts, parts.statistics.settings)
        op.output("stats_sink", statistics, parts.statistics.sink)
    return flow


def _stop_together(batches: Stream[Batch], launch: Launch) -> None:
    """Let all processes stop when one is told to.

    One that reads tells the others.  One that does not (it has no share of the input, or has read
    all of it) cannot send anything by itself: those that read ask it again and again.
    """
    names = worker_names(launch.workers)[:: launch.workers_per_process]  # one in each process

    def tell(batch: Batch) -> list[tuple[str, bool]]:
        return [(name, batch.stop) for name in names] if batch.stop or batch.asks else []

    def answer(_: None, is_told: bool) -> tuple[None, bool]:  # noqa: FBT001 - Bytewax's
        if is_told:
            stop_requested.set()
        return None, stop_requested.is_set() and not is_told

    def tell_all(item: tuple[str, bool]) -> list[tuple[str, bool]]:
        return [(name, True) for name in names] if item[1] else []

    answers = op.stateful_map("stop", op.flat_map("tell_stop", batches, tell), answer)
    op.stateful_map("stop_all", op.flat_map("tell_all", answers, tell_all), answer)


def flow() -> Dataflow:
    """Build the dataflow from the environment; `python -m bytewax.run` calls this."""
    try:
        settings = load_settings()
        set_up_logging(settings.log, settings.log_level)
        stop_on_signals()
        tune_malloc()
        launch = read_launch(sys.argv[1:], os.environ)
        if launch.processes > 1:
            has_peers.set()
        if settings.embedded:
            hold_recovery_directory(launch)
        check_recovery_directory(launch)
        observer = Observer(Metrics())
        health = health_of(settings, launch, observer)
        serve_endpoints(settings, launch, health)
        dataflow = build(settings, launch, observer)
        ProgressLog(observer).start()
        watch_peers(launch)
        start_watchdog(health, launch.epoch_seconds)
        resumable = not settings.embedded or launch.recovery is not None
        start_clock_watch(health, ends=resumable)
    except DedupError as error:
        exit_with_error(error)
    # Objects that live as long as the job need no garbage collection, neither now nor at
    # interpreter exit.
    gc.freeze()
    atexit.register(gc.freeze)
    return dataflow
