"""Every metric, with what it means when it grows."""

from __future__ import annotations

from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from operators.verdicts import VERDICTS

# From one poll of a broker to a transaction that is stuck.
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DISTRIBUTION = "bytewax-dedup"


class Metrics:
    """The metrics of one process; `/metrics` shows its `registry`.

    Each process shows its own lanes and input partitions.  Over all processes, add up
    counts, keys, bytes and lag, and take the smallest watermark.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """registry: a new one unless given."""
        # Otherwise each counter gets a `_created` series, which nobody needs.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self.processed = Counter(
            "dedup_events_processed",
            "Records whose verdict has been written. Stands still: the job makes no progress.",
            ["verdict"],
            registry=self.registry,
        )
        for verdict in VERDICTS:
            self.processed.labels(verdict)
        self.duplicates = Counter(
            "dedup_duplicates_found",
            "Duplicates by the combination that matched. Jumps: an upstream retries or replays.",
            ["matched"],
            registry=self.registry,
        )
        self.state_size = self._gauge(
            "dedup_state_size",
            "Keys held. Grows without end: the watermark stands still, or too many live keys.",
        )
        self.state_bytes = self._gauge(
            "dedup_state_bytes",
            "Estimated bytes of the keys held, in memory or on disk. Grows with dedup_state_size.",
        )
        self.evictions = Counter(
            "dedup_evictions",
            "Keys evicted before they expired. Grows: DEDUP_MAX_KEYS is too low for the window; "
            "repeats of these keys pass as unique.",
            ["reason"],
            registry=self.registry,
        )
        self.similarity_capped = Counter(
            "dedup_similarity_capped",
            "Records with too many candidates for near duplicates, or too long a text. Grows: "
            "texts are too alike (a template); a near duplicate may pass as unique.",
            registry=self.registry,
        )
        self.false_positive_rate = self._gauge(
            "dedup_bloom_false_positive_rate",
            "Expected share of new keys that DEDUP_STATE=bloom takes for repeats; 0 with other "
            "states. Grows: the filters fill up; at DEDUP_BLOOM_ERROR the oldest is evicted.",
        )
        self.restored_keys = self._gauge(
            "dedup_restored_keys",
            "Keys that the lanes held when they were opened. 0 after a restart: nothing was kept.",
        )
        self.latency = Histogram(
            "dedup_processing_latency_seconds",
            "Time from reading a record to committing its output. Grows: the job falls behind.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.watermark = self._gauge(
            "dedup_watermark_seconds",
            "How far event time has come, epoch seconds; NaN until every partition was heard "
            "from. Stands still: a partition sends old events, or sends none and is not idle yet.",
        )
        self.watermark_lag = self._gauge(
            "dedup_watermark_lag_seconds",
            "Wall clock minus watermark. Grows: old events, a stuck partition, or a slow job.",
        )
        self.input_lag = Gauge(
            "dedup_input_lag",
            "Records of an input partition that have not been read; absent while that is not "
            "known. Grows: more records arrive than the job can process; add processes.",
            ["topic", "partition"],
            registry=self.registry,
        )
        self.input_event_time = Gauge(
            "dedup_input_event_time_seconds",
            "Largest event time of an input partition, epoch seconds. Stands still: nothing new "
            "comes from it, or old events do; if it is the smallest, it holds the watermark.",
            ["topic", "partition"],
            registry=self.registry,
        )
        self.input_partitions = Gauge(
            "dedup_input_partitions",
            "Input partitions that this process reads: idle ones were read to their end, of "
            "unreachable ones nothing is known. Unreachable ones stay: look at their leaders.",
            ["state"],
            registry=self.registry,
        )
        self.skipped = Counter(
            "dedup_skipped",
            "Records read again that were answered before a restart. Grows otherwise: a bug.",
            registry=self.registry,
        )
        self.commits = Counter(
            "dedup_commits",
            "Commits of a lane's output. Stands still while input lag grows: look at the brokers.",
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "dedup_commit_seconds",
            "Duration of a commit. Grows: the brokers are slow, or a disk is.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.checkpoint_age = self._gauge(
            "dedup_checkpoint_age_seconds",
            "Time since the last epoch ended with a snapshot. Grows past a few epochs: the job "
            "hangs.",
        )
        info = Gauge(
            "dedup_build_info",
            "Always 1; the version is in the label. More than one version: a rollout is half done.",
            ["version"],
            registry=self.registry,
        )
        info.labels(version(DISTRIBUTION)).set(1)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)
