"""Observes the job: counts its work once per batch, for the log, metrics and status."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from prometheus_client import Histogram

from operators.encode.encoder import Output
from operators.lanes.hot_keys import MAX_HOT_KEYS, HotKey, HotKeys
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
        self.input_lag: dict[int, int] = {}
        self.skew = SkewMonitor(clock)
        self._hot_keys: dict[int, HotKeys] = {}
        self._evictions = Evictions(metrics, clock)
        self._near = NearCounts(metrics)
        self._clock = clock
        self._lock = Lock()
        # Computed when Prometheus reads them, so that they cost a batch nothing.
        metrics.state_size.set_function(lambda: _total(self.keys_held))
        metrics.state_bytes.set_function(lambda: _total(self.state_bytes))
        metrics.restored_keys.set_function(lambda: _total(self.restored_keys))
        metrics.false_positive_rate.set_function(
            lambda: max(list(self.false_positive_rates.values()), default=0.0)
        )
        metrics.watermark.set_function(lambda: self.watermark)
        metrics.watermark_lag.set_function(lambda: self.watermark_lag)
        metrics.checkpoint_age.set_function(lambda: self.liveness.epoch_seconds)

    def opened(self, lane: Lane) -> None:
        """Note a lane that is ready to decide, with its restored state."""
        self.restored_keys[lane.index] = len(lane.store)
        self.records_written.setdefault(lane.index, 0)
        self._hot_keys[lane.index] = lane.hot_keys
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

    def lagging(self, partition: int, records: int) -> None:
        """Note how many records of an input partition have not been read."""
        self.input_lag[partition] = records
        self.metrics.input_lag.labels(partition).set(records)

    def hot_keys(self) -> list[tuple[int, HotKey]]:
        """Return the hottest keys of this process with the lane of each, hottest first."""
        lanes = list(self._hot_keys.items())
        hot = [(lane, key) for lane, keys in lanes for key in keys.hottest()]
        return sorted(hot, key=lambda item: -item[1].duplicates)[:MAX_HOT_KEYS]

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
