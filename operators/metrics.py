"""Every metric, with what it means when it grows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# From one poll of the broker to a stuck transaction.
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one process; `registry` is what `/metrics` shows."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """registry: a new one unless given."""
        self.registry = registry or CollectorRegistry()
        self.processed = Counter(
            "dedup_events_processed",
            "Records whose verdict has been written. Stands still: the job does not get on.",
            ["verdict"],
            registry=self.registry,
        )
        self.duplicates = Counter(
            "dedup_duplicates_found",
            "Duplicates by the keys that matched. Jumps: an upstream retries or replays.",
            ["matched"],
            registry=self.registry,
        )
        self.state_size = Gauge(
            "dedup_state_size",
            "Keys held. Grows without end: the watermark stands still, or too many live keys.",
            registry=self.registry,
        )
        self.latency = Histogram(
            "dedup_processing_latency_seconds",
            "From a record being read to its output being committed. Grows: the job falls behind.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
