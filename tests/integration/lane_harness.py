"""Lanes on a real broker without Bytewax: a test decides when epochs end and processes die."""

import copy
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pytest
from bytewax.inputs import StatefulSourcePartition

from connectors.exactly_once.beginning import begin_application
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.lane_opener import LaneOpener, SinkSnapshot
from connectors.exactly_once.lane_transactions import WriterSettings
from connectors.exactly_once.lane_writer import LaneWriter
from connectors.exactly_once.sink import TransactionalKafkaSink, TransactionalSinkSettings
from connectors.kafka import starting_offsets
from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_topics import input_partitions
from connectors.kafka.source import KafkaSource
from connectors.kafka.source import Snapshot as SourceSnapshot
from connectors.kafka.source_settings import SourceSettings
from operators.batches import Batch, InputPartition, Slice, Span
from operators.decode.decoder import Decoder
from operators.encode.encoder import Output, kafka_encoder
from operators.errors import DedupError
from operators.lanes.cut import cut
from operators.lanes.lane import Lane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.lanes.placement import lane_names
from operators.lanes.spec import LaneSpec
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.split import parts_of
from operators.windows.tumbling import TumblingStore
from tests.integration.topics import VERDICTS, Topics, wait_until_settled
from tests.model import Record, Settings
from tests.model_specs import event_spec
from tests.pipeline import records_of

WINDOW_SECONDS = 3600.0
LATENESS_SECONDS = 300.0
# Lanes commit only when a test asks for it, and at the end of an epoch.
_NEVER_SECONDS = 3600.0
_SECONDS = 30.0


@dataclass(frozen=True)
class Snapshot:
    """What a recovery directory would hold: snapshots of states, sinks and the source."""

    states: Mapping[int, LaneSnapshot]
    sinks: Mapping[int, SinkSnapshot | None]
    positions: Mapping[int, int]


@dataclass
class LaneHarness:
    """An application; each `Run` is one of its processes, one after another or at a time."""

    topics: Topics
    lanes: int = 2
    window_seconds: float = WINDOW_SECONDS
    snapshot_max_bytes: int = 1_000_000
    trim_seconds: float = 0.0
    settings: Settings = field(default_factory=Settings)
    fingerprint: dict[str, str] = field(default_factory=lambda: {"DEDUP_KEYS": "a"})
    failures: list[DedupError] = field(default_factory=list)
    producer: dict[str, str | int | float | bool] = field(default_factory=dict)
    message_bytes: int = 1_000_000
    runs: list["Run"] = field(default_factory=list)

    def __post_init__(self) -> None:
        for topic in self.topics.outputs.values():
            self.topics.create(topic, max_message_bytes=str(self.message_bytes))
        self.access = KafkaAccess(
            self.topics.bootstrap,
            self.topics.prefix,
            common={"log_level": 0},
            producer=self.producer,
        )
        self.changelog = Changelog(self.access, self.lanes)
        self.changelog.ensure(self.topics.input)

    def run(self, snapshot: Snapshot | None = None, **changed: object) -> "Run":
        """Start a process, from a snapshot or without a recovery directory."""
        application = copy.copy(self)
        for name, value in changed.items():
            setattr(application, name, value)
        self.runs.append(Run(application, snapshot))
        return self.runs[-1]

    def end(self) -> None:
        """End the threads of all processes: none may write, or fail, during another test."""
        for run in self.runs:
            run.end()

    def source(self, start: Literal["earliest", "latest"] = "earliest") -> KafkaSource:
        """The source of a process, for `Run.begin`."""
        partitions = self.inputs
        answered = begin_application(
            self.access,
            self.changelog,
            lambda: starting_offsets.offsets_to_begin(self.access, partitions, start),
            self.fingerprint,
        )
        positions = [{} if lane is None else lane.positions for lane in answered]
        starts = starting_offsets.answered_by_all(self.access, partitions, positions)
        return KafkaSource(SourceSettings(self.access, [self.topics.input]), starts)

    @cached_property
    def inputs(self) -> list[InputPartition]:
        """The input's partitions."""
        return input_partitions(self.access, self.access.admin(), [self.topics.input])

    def changelog_span(self, lane: int) -> tuple[int, int]:
        """First offset of a lane's changelog that still exists, and the offset after its last."""
        consumer = self.changelog.consumer()
        try:
            return self.changelog.ends(consumer, lane)
        finally:
            consumer.close()

    def check(self, records: Iterable[Record]) -> None:
        """Assert that every record is in the outputs exactly once."""
        assert self.doubled(records) == (0, 0)

    def doubled(self, records: Iterable[Record]) -> tuple[int, int]:
        """How many records are lost and doubled, by their values, which must all differ."""
        given = Counter(record.value for record in records)
        assert given.total() == len(given)
        outputs = self.topics.read().values()
        written = Counter(record.value for topic in outputs for record in topic)
        return (given - written).total(), (written - given).total()


class Run:
    """One process with all lanes.  A test that stops using it has killed it."""

    def __init__(self, harness: LaneHarness, snapshot: Snapshot | None) -> None:
        self._rig = harness
        self._spec = LaneSpec(
            lambda: TumblingStore(harness.window_seconds),
            LATENESS_SECONDS,
            30.0,
            harness.fingerprint,
            changelog=True,
            snapshot_max_bytes=harness.snapshot_max_bytes,
        )
        self.observer = Observer(Metrics())
        self._opener = LaneOpener(harness.access, harness.changelog, self._spec)
        outputs = harness.topics.outputs
        self.sink = TransactionalKafkaSink(
            TransactionalSinkSettings(
                WriterSettings(
                    topics={verdict: outputs[verdict] for verdict in VERDICTS},
                    interval_seconds=_NEVER_SECONDS,
                    is_expired=self._spec.new_store().is_expired,
                    fingerprint=harness.fingerprint,
                    workers=1,
                    trim_seconds=harness.trim_seconds,
                ),
                harness.lanes,
                own=range(harness.lanes),
            ),
            self._opener,
            harness.changelog,
            self.observer,
        )
        self._decode = Decoder(event_spec(harness.settings, harness.lanes))
        self._encode = kafka_encoder(["event_id"])
        self.parts = {
            lane: self.sink.build_part(
                "sink", name, None if snapshot is None else snapshot.sinks.get(lane)
            )
            for lane, name in enumerate(lane_names(harness.lanes))
        }
        self._states = {} if snapshot is None else dict(snapshot.states)
        self.lanes: dict[int, Lane] = {}
        self.deliver = self.write
        self.positions = {} if snapshot is None else dict(snapshot.positions)
        self._shares: list[StatefulSourcePartition[Batch, SourceSnapshot]] = []

    def lane(self, index: int) -> Lane:
        """Return a lane; the first call opens it."""
        if index not in self.lanes:
            self.lanes[index] = self._opener.open(index, self._states.get(index))
        return self.lanes[index]

    def open(self) -> None:
        """Open all lanes."""
        for index in range(self._rig.lanes):
            self.lane(index)

    def wait_until_opened(self) -> None:
        """Wait for the threads that open the lanes: a dead process must open none later."""
        wait(self._opener._producers.values(), _SECONDS)

    def feed(self, records: Sequence[Record], start: int | None = None) -> None:
        """Answer records of one partition, and wait until they are in transactions.

        start: where the source begins instead of its last position; earlier records are left out.
        """
        self.hand_over(records, start)
        for writer in self._writers():
            _wait_until_added(writer)

    def hand_over(self, records: Sequence[Record], start: int | None = None) -> None:
        """Answer records of one partition, without waiting for the lanes' threads."""
        partition = records[0].partition
        begin = self.positions.get(partition, 0) if start is None else start
        rows = [record for record in records if record.offset >= begin]
        end = records[-1].offset + 1
        inputs = self._rig.inputs
        span = Span(inputs[partition], begin, end, time.time())
        self._answer(Batch.of(span, records_of(rows), inputs))

    def _writers(self) -> list[LaneWriter]:
        return [part._writer for part in self.parts.values() if part._writer is not None]

    def _answer(self, batch: Batch) -> None:
        for slice_ in cut(self._decode(batch), self._rig.lanes):
            self.decide(slice_)
        for span in batch.spans.spans:
            self.positions[span.partition.partition] = span.end

    def begin(self, source: KafkaSource) -> None:
        """Let a source begin where it chooses."""
        self._shares = [source.build_part("source", name, None) for name in source.list_parts()]

    def read(self, end: int) -> None:
        """Answer the source's records, up to an offset."""
        deadline = time.monotonic() + _SECONDS
        while self.positions.get(0, 0) < end:
            assert time.monotonic() < deadline, f"the source gives nothing up to {end}"
            for share in self._shares:
                for batch in share.next_batch():
                    self._answer(batch)
            time.sleep(0.01)

    def end_source_epoch(self) -> None:
        """End the source's epoch, as Bytewax does before it ends those of the lanes."""
        for share in self._shares:
            share.snapshot()

    def decide(self, slice_: Slice) -> None:
        """Answer a slice."""
        for part in parts_of(self.lane(slice_.lane).decide(slice_)):
            self.deliver(self._encode(part))

    def write(self, output: Output) -> None:
        """Hand an output to its lane's sink."""
        self.parts[output.lane].write_batch([output])

    def settle(self) -> None:
        """Commit everything now, and wait until the changelog shows it."""
        for writer in self._writers():
            writer.wait()
        wait_until_settled(self._rig.topics.bootstrap, [self._rig.changelog.topic])

    def snapshot(self) -> Snapshot:
        """End an epoch."""
        # Bytewax copies states like this: a lane's copy is its snapshot.
        states: dict[int, Any] = {index: copy.deepcopy(lane) for index, lane in self.lanes.items()}
        return Snapshot(
            states=states,
            sinks={index: part.snapshot() for index, part in self.parts.items()},
            positions=dict(self.positions),
        )

    def flush(self) -> None:
        """Send the records of all open transactions to the brokers."""
        for writer in self._writers():
            writer._transactions._producer._producer.flush(_SECONDS)

    def end(self) -> None:
        """End the lanes' threads, without a further commit."""
        writers = self._writers()
        for writer in writers:
            with writer._state:
                writer._closed = True
                writer._state.notify_all()
        for writer in writers:
            writer._thread.join(_SECONDS)

    def keys(self) -> int:
        """Number of keys that the lanes hold."""
        return sum(len(lane.store) for lane in self.lanes.values())


def _wait_until_added(writer: LaneWriter) -> None:
    with writer._state:
        writer._state.wait_for(lambda: not writer._backlog or writer._failure, _SECONDS)


def make_records(
    begin: int, end: int, *, partition: int = 0, first_time: float = 1_700_000_000.0
) -> list[Record]:
    """Records [begin, end) of a partition: different events, one second apart."""
    return [
        Record(partition, offset, b"k", _value(partition, offset, first_time + offset))
        for offset in range(begin, end)
    ]


def _value(partition: int, offset: int, time: float) -> bytes:
    return b'{"event_id":"%d-%d","user_id":"u","event_type":"t","timestamp":%r,"data":{}}'.replace(
        b"%r", repr(time).encode()
    ) % (partition, offset)


def repeats(records: Sequence[Record], offset: int) -> list[Record]:
    """The same events again, at later offsets; white space makes their values differ."""
    return [
        Record(
            record.partition,
            offset + row,
            record.key,
            b" " * (1 + offset) + (record.value or b""),
        )
        for row, record in enumerate(records)
    ]


def raising(monkeypatch: pytest.MonkeyPatch, failures: list[DedupError]) -> None:
    """Let errors that would end the process be raised; in a lane's thread only note them."""

    def end(error: DedupError) -> None:
        failures.append(error)
        raise error

    monkeypatch.setattr("connectors.shutdown.exit_with_error", end)
    monkeypatch.setattr("connectors.exactly_once.lane_writer.exit_with_error", failures.append)


__all__ = ["LaneHarness", "Run", "Snapshot", "make_records", "raising", "repeats"]
