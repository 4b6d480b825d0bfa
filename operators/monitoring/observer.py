"""What the job has done so far: counted once a batch, shown in the log and as metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from prometheus_client import Histogram

from operators.encode.encoder import Output
from operators.lanes.hot_keys import MOST, HotKey, HotKeys
from operators.lanes.lane import Lane
from operators.monitoring.evictions import Evictions, NearCounts
from operators.monitoring.liveness import Liveness
from operators.monitoring.metrics import Metrics
from operators.monitoring.skew import SkewMonitor
from operators.verdicts import VERDICTS


@dataclass(frozen=True, slots=True)
class WrittenBatch:
    """What counts of an output once it is written; its records need not be held for that.

    records: how many there are.  read_at: wall clock, epoch seconds.  matched: duplicates
    of the batch by the combination that matched.
    """

    lane: int
    verdict: int
    records: int
    read_at: float
    matched: Mapping[str, int]

    @classmethod
    def of(cls, output: Output) -> WrittenBatch:
        """Take what counts from an output."""
        matched = {} if output.progress is None else output.progress.matched
        return cls(output.lane, output.verdict, len(output.records), output.read_at, matched)


class Observer:
    """Counts what was decided and written, for all workers of a process.

    A lane's state is told by whoever decides, what was written by whoever writes:
    with more workers than lanes meet on, these are different processes.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        """metrics: what is shown to Prometheus.  clock: wall clock, epoch seconds."""
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
        # Asked for when somebody looks, so that they cost a batch nothing.
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
        """Take note of a lane that is ready to decide, with what it was restored to."""
        self.restored_keys[lane.lane] = len(lane.store)
        self.records_written.setdefault(lane.lane, 0)
        self._hot_keys[lane.lane] = lane.hot_keys
        self._evictions.opened(lane.lane, lane.store.evicted)
        if lane.near is not None:
            self._near.opened(lane.lane, lane.near)
        self.liveness.lane_opened()
        self.decided(lane)

    def decided(self, lane: Lane) -> None:
        """Take note of a lane that has decided a slice."""
        number, store = lane.lane, lane.store
        self.keys_held[number] = len(store)
        self.state_bytes[number] = store.size_bytes()
        self.watermarks[number] = lane.watermark.value
        self.false_positive_rates[number] = store.false_positive_rate
        self._evictions.decided(number, store.evicted)
        if lane.near is not None:
            self.state_bytes[number] += lane.near.size_bytes()
            self._near.decided(number, lane.near)
        self.liveness.note_activity()

    def written(self, batch: Sequence[WrittenBatch], now: float) -> None:
        """Take note of a verdict batch, at least one output, whose records are all written.

        now: wall clock, epoch seconds.
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
        """Take note of a commit, and of how long it took."""
        self.metrics.commits.inc()
        self.metrics.commit_seconds.observe(seconds)

    def lagging(self, partition: int, records: int) -> None:
        """Take note of how many records of an input partition have not been read."""
        self.input_lag[partition] = records
        self.metrics.input_lag.labels(partition).set(records)

    def hot_keys(self) -> list[HotKey]:
        """The keys repeated most, over all lanes of this process, the largest first."""
        hot = [key for keys in list(self._hot_keys.values()) for key in keys.top()]
        return sorted(hot, key=lambda key: -key.repeats)[:MOST]

    @property
    def processed(self) -> int:
        """Records whose verdict has been written."""
        return sum(self.counts.values())

    @property
    def watermark(self) -> float:
        """The smallest of this process' lanes, epoch seconds; NaN while it is not known."""
        smallest = min(list(self.watermarks.values()), default=-math.inf)
        return smallest if math.isfinite(smallest) else math.nan

    @property
    def watermark_lag(self) -> float:
        """Seconds that the watermark is behind the wall clock, NaN while it is not known."""
        return self._clock() - self.watermark


def _total(counts: dict[int, int]) -> int:
    """Sum of the values, which another thread may be adding to: `list` takes them at once."""
    return sum(list(counts.values()))


def observe_many(histogram: Histogram, seconds: float, count: int) -> None:
    """Observe one value for many records, without a call for each.

    The client library has no such call; this does what its `observe` does.
    """
    histogram._sum.inc(seconds * count)  # noqa: SLF001
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):  # noqa: SLF001
        if seconds <= bound:
            bucket.inc(count)
            break
