"""What the job has done so far: counted once a batch, shown in the log and as metrics."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from operators.encode import Output
from operators.metrics import Metrics
from operators.verdicts import VERDICTS


class Observer:
    """Counts what was written, for all workers of a process.

    Called by sinks once a batch, from whichever thread.
    """

    def __init__(self, metrics: Metrics) -> None:
        """metrics: what is shown to Prometheus."""
        self.metrics = metrics
        self.counts = dict.fromkeys(VERDICTS, 0)
        self.keys_held: dict[int, int] = {}
        self.watermarks: dict[int, float] = {}
        self.input_lag: dict[int, int] = {}
        self._lock = Lock()

    def written(self, batch: Sequence[Output], now: float) -> None:
        """Take note of a verdict batch whose records are all written.

        now: wall clock, epoch seconds.
        """
        metrics = self.metrics
        with self._lock:
            records = 0
            for part in batch:
                verdict = VERDICTS[part.verdict]
                count = len(part.records)
                records += count
                if count:
                    self.counts[verdict] += count
                    metrics.processed.labels(verdict).inc(count)
                progress = part.progress
                if progress is not None:
                    self.keys_held[part.lane] = progress.keys_held
                    self.watermarks[part.lane] = progress.change.watermark
                    metrics.state_size.set(sum(self.keys_held.values()))
                    for name, matched in progress.matched.items():
                        metrics.duplicates.labels(name).inc(matched)
            if records:
                observe_many(metrics, now - batch[0].read_at, records)

    @property
    def processed(self) -> int:
        """Records whose verdict has been written."""
        return sum(self.counts.values())


def observe_many(metrics: Metrics, seconds: float, count: int) -> None:
    """Observe one latency for many records, without a call for each.

    The client library has no such call; this does what its `observe` does.
    """
    histogram = metrics.latency
    histogram._sum.inc(seconds * count)  # noqa: SLF001
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):  # noqa: SLF001
        if seconds <= bound:
            bucket.inc(count)
            break
