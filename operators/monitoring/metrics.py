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

# From one poll of the broker to a stuck transaction.
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DISTRIBUTION = "bytewax-dedup"


class Metrics:
    """The metrics of one process; `registry` is what `/metrics` shows.

    Each process shows its own part: its lanes, its input partitions.  Counts, keys,
    bytes and lag add up over the processes; of the watermark the smallest counts.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """registry: a new one unless given."""
        # A `_created` beside every counter is a second name nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self.processed = Counter(
            "dedup_events_processed",
            "Records whose verdict has been written. Stands still: the job does not get on.",
            ["verdict"],
            registry=self.registry,
        )
        for verdict in VERDICTS:
            self.processed.labels(verdict)
        self.duplicates = Counter(
            "dedup_duplicates_found",
            "Duplicates by the keys that matched. Jumps: an upstream retries or replays.",
            ["matched"],
            registry=self.registry,
        )
        self.state_size = self._gauge(
            "dedup_state_size",
            "Keys held. Grows without end: the watermark stands still, or too many live keys.",
        )
        self.state_bytes = self._gauge(
            "dedup_state_bytes",
            "About what the keys held take, of memory or disk. Grows as the keys do: see there.",
        )
        self.evictions = Counter(
            "dedup_evictions",
            "Keys given up before their time. Grows: DEDUP_MAX_KEYS is too low for the window; "
            "repeats of these keys pass as unique.",
            ["reason"],
            registry=self.registry,
        )
        self.similarity_capped = Counter(
            "dedup_similarity_capped",
            "Records with more candidates for near duplicates than are looked at, or too long a "
            "text. Grows: texts are too alike (a template); a near duplicate may pass as unique.",
            registry=self.registry,
        )
        self.false_positive_rate = self._gauge(
            "dedup_bloom_false_positive_rate",
            "Expected share of new keys that DEDUP_STATE=bloom takes for repeats; 0 with other "
            "states. Grows: the filters fill up; at DEDUP_BLOOM_ERROR the oldest is evicted.",
        )
        self.restored_keys = self._gauge(
            "dedup_restored_keys",
            "Keys that the lanes knew when they were opened. 0 after a restart: nothing was kept.",
        )
        self.latency = Histogram(
            "dedup_processing_latency_seconds",
            "From a record being read to its output being committed. Grows: the job falls behind.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.watermark = self._gauge(
            "dedup_watermark_seconds",
            "How far event time has come, epoch seconds; NaN until every partition was heard "
            "from. Stands still: a partition sends old events, or none and is not idle yet.",
        )
        self.watermark_lag = self._gauge(
            "dedup_watermark_lag_seconds",
            "Wall clock less watermark. Grows: old events, a stuck partition, or the job is slow.",
        )
        self.input_lag = Gauge(
            "dedup_input_lag",
            "Records in an input partition that have not been read. Grows: more comes than the "
            "job can do; add processes.",
            ["partition"],
            registry=self.registry,
        )
        self.commits = Counter(
            "dedup_commits",
            "Commits of a lane's output. Stands still while the input lag grows: the brokers.",
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "dedup_commit_seconds",
            "How long a commit took. Grows: the brokers are slow, or a disk is.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.checkpoint_age = self._gauge(
            "dedup_checkpoint_age_seconds",
            "Since an epoch ended with its snapshot. Grows past a few epochs: the job hangs.",
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
