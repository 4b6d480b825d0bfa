"""Observes the job: counts its work once per batch, for the log, metrics and status."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Literal, NamedTuple, TypeAlias, get_args

from prometheus_client import Histogram

from operators.batches import InputPartition
from operators.encode.encoder import Output
from operators.lanes.hot_keys import MAX_HOT_KEYS, HotKey
from operators.lanes.lane import Lane
from operators.monitoring.evictions import Evictions, NearCounts
from operators.monitoring.liveness import Liveness
from operators.monitoring.metrics import Metrics
from operators.monitoring.skew import SkewMonitor
from operators.verdicts import VERDICTS


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """What is counted of an output once it is written; it does not hold the records.

    records: their number.  read_at: wall clock, epoch seconds.  matched: duplicates of
    the batch by the name of the combination that matched.
    """

    lane: int
    verdict: int
    records: int
    read_at: float
    matched: Mapping[str, int]

    @classmethod
    def of(cls, output: Output) -> WrittenBatch:
        """Take what is counted from an output."""
        matched = {} if output.progress is None else output.progress.matched
        return cls(output.lane, output.verdict, len(output.records), output.read_at, matched)


InputState: TypeAlias = Literal["read", "idle", "unreachable"]
"""Of an input partition: idle ones were read to the end; of unreachable ones nothing is known."""
INPUT_STATES: tuple[InputState, ...] = get_args(InputState)


class InputStatus(NamedTuple):
    """How far an input partition was read.  lag: records that were not read, None if unknown."""

    lag: int | None
    state: InputState


class Observer:
    """Counts what was decided and written, for all workers of a process.

    The worker that decides a lane reports its state, the worker that writes it reports
    what is written.  With many workers these may be in different processes.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        """metrics: shown to Prometheus.  clock: wall clock, epoch seconds."""
        self.metrics = metrics
        self.liveness = Liveness()
        self.counts = dict.fromkeys(VERDICTS, 0)
        self.keys_held: dict[int, int] = {}
        self.state_bytes: dict[int, int] = {}
        self.false_positive_rates: dict[int, float] = {}
        self.watermarks: dict[int, float] = {}
        self.restored_keys: dict[int, int] = {}
        self.records_written: dict[int, int] = {}
        self.inputs: dict[InputPartition, InputStatus] = {}
        self.skew = SkewMonitor(clock)
        self._lanes: dict[int, Lane] = {}
        self._skipped: dict[int, int] = {}
        self._evictions = Evictions(metrics, clock)
        self._near = NearCounts(metrics)
        self._clock = clock
        self._lock = Lock()
        self._with_lag: set[tuple[str, str]] = set()
        # Computed when Prometheus reads them, so that they cost a batch nothing.
        metrics.state_size.set_function(lambda: _total(self.keys_held))
        metrics.state_bytes.set_function(lambda: _total(self.state_bytes))
        metrics.restored_keys.set_function(lambda: _total(self.restored_keys))
        metrics.false_positive_rate.set_function(
            lambda: max(list(self.false_positive_rates.values()), default=0.0)
        )
        for state in INPUT_STATES:
            metrics.input_partitions.labels(state).set_function(partial(self._in_state, state))
        metrics.watermark.set_function(lambda: self.watermark)
        metrics.watermark_lag.set_function(lambda: self.watermark_lag)
        metrics.checkpoint_age.set_function(lambda: self.liveness.epoch_seconds)

    def opened(self, lane: Lane) -> None:
        """Note a lane that is ready to decide, with its restored state."""
        self.restored_keys[lane.index] = len(lane.store)
        self.records_written.setdefault(lane.index, 0)
        self._lanes[lane.index] = lane
        self._evictions.opened(lane.index, lane.store.evicted)
        if lane.near is not None:
            self._near.opened(lane.index, lane.near)
        self.liveness.lane_opened()
        self.decided(lane)

    def decided(self, lane: Lane) -> None:
        """Note that a lane has decided a slice."""
        index, store = lane.index, lane.store
        self.keys_held[index] = len(store)
        self.state_bytes[index] = store.size_bytes()
        self.watermarks[index] = lane.watermark.value
        self.false_positive_rates[index] = store.false_positive_rate
        self._evictions.decided(index, store.evicted)
        if lane.near is not None:
            self.state_bytes[index] += lane.near.size_bytes()
            self._near.decided(index, lane.near)
        self.metrics.skipped.inc(lane.skipped - self._skipped.get(index, 0))
        self._skipped[index] = lane.skipped
        self.liveness.note_activity()

    def written(self, batch: Sequence[WrittenBatch], now: float) -> None:
        """Note that all records of a verdict batch are written.

        batch: at least one output.  now: wall clock, epoch seconds.
        """
        metrics = self.metrics
        with self._lock:
            records = 0
            for part in batch:
                verdict, count = VERDICTS[part.verdict], part.records
                records += count
                if count:
                    self.counts[verdict] += count
                    lane = part.lane
                    self.records_written[lane] = self.records_written.get(lane, 0) + count
                    metrics.processed.labels(verdict).inc(count)
                for name, matched in part.matched.items():
                    metrics.duplicates.labels(name).inc(matched)
            self.skew.check(self.records_written)
            if records:
                observe_many(metrics.latency, now - batch[0].read_at, records)

    def committed(self, seconds: float) -> None:
        """Note a commit, and how long it took."""
        self.metrics.commits.inc()
        self.metrics.commit_seconds.observe(seconds)

    def reading(self, partition: InputPartition, lag: int | None, state: InputState) -> None:
        """Note how far an input partition was read.

        lag: how many of its records have not been read, None if that is not known.
        """
        self.inputs[partition] = InputStatus(lag, state)
        labels = (partition.topic, str(partition.partition))
        if lag is not None:
            self.metrics.input_lag.labels(*labels).set(lag)
        elif labels in self._with_lag:
            self.metrics.input_lag.remove(*labels)
        (self._with_lag.discard if lag is None else self._with_lag.add)(labels)
        time = self.event_time(partition)
        if time is not None:
            self.metrics.input_event_time.labels(*labels).set(time)

    def left(self, partition: InputPartition) -> None:
        """Note that an input partition is read no more."""
        self.reading(partition, None, "unreachable")
        del self.inputs[partition]
        labels = (partition.topic, str(partition.partition))
        if self.event_time(partition) is not None:
            self.metrics.input_event_time.remove(*labels)

    @property
    def lag(self) -> int | None:
        """Number of records of all input partitions that have not been read; None if unknown."""
        lags = [status.lag for status in list(self.inputs.values())]
        known = [lag for lag in lags if lag is not None]
        return sum(known) if len(known) == len(lags) else None

    def event_time(self, partition: InputPartition) -> float | None:
        """Return the largest event time of an input partition, epoch seconds; None if unknown."""
        for lane in list(self._lanes.values()):
            number = lane.inputs.number(partition)
            if number is not None and number in lane.watermark.max_event_times:
                return lane.watermark.max_event_times[number]
        return None

    def hot_keys(self) -> list[tuple[int, HotKey, InputPartition]]:
        """Return the hottest keys of this process, hottest first.

        With each the lane, and the partition of its example.
        """
        lanes = list(self._lanes.values())
        hot = [
            (lane.index, key, lane.inputs.partitions[key.partition])
            for lane in lanes
            for key in lane.hot_keys.hottest()
        ]
        return sorted(hot, key=lambda item: -item[1].duplicates)[:MAX_HOT_KEYS]

    def _in_state(self, state: InputState) -> int:
        return sum(status.state == state for status in list(self.inputs.values()))

    @property
    def processed(self) -> int:
        """Number of records whose verdict has been written."""
        return sum(self.counts.values())

    @property
    def watermark(self) -> float:
        """The smallest watermark of this process' lanes, epoch seconds; NaN while unknown."""
        smallest = min(list(self.watermarks.values()), default=-math.inf)
        return smallest if math.isfinite(smallest) else math.nan

    @property
    def watermark_lag(self) -> float:
        """Seconds that the watermark is behind the wall clock; NaN while unknown."""
        return self._clock() - self.watermark


def _total(counts: dict[int, int]) -> int:
    """Sum the values.  `list` copies them in one step, since another thread may add more."""
    return sum(list(counts.values()))


def observe_many(histogram: Histogram, seconds: float, count: int) -> None:
    """Observe one value for many records, in one call.

    The client library has no such call; this repeats what its `observe` does.
    """
    histogram._sum.inc(seconds * count)  # noqa: SLF001
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):  # noqa: SLF001
        if seconds <= bound:
            bucket.inc(count)
            break
