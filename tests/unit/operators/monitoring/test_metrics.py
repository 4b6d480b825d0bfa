"""The metrics: their names are those of docs/reference/metrics.md, and each says what it means."""

import re

from prometheus_client import generate_latest

from operators.monitoring.metrics import Metrics

# docs/reference/metrics.md lists them; dashboards and alerts rely on them.
NAMES = {
    "dedup_events_processed_total": {"verdict"},
    "dedup_duplicates_found_total": {"matched"},
    "dedup_state_size": set(),
    "dedup_state_bytes": set(),
    "dedup_processing_latency_seconds_bucket": {"le"},
    "dedup_processing_latency_seconds_count": set(),
    "dedup_processing_latency_seconds_sum": set(),
    "dedup_watermark_seconds": set(),
    "dedup_watermark_lag_seconds": set(),
    "dedup_input_lag": {"topic", "partition"},
    "dedup_input_event_time_seconds": {"topic", "partition"},
    "dedup_input_partitions": {"state"},
    "dedup_skipped_total": set(),
    "dedup_commits_total": set(),
    "dedup_commit_seconds_bucket": {"le"},
    "dedup_commit_seconds_count": set(),
    "dedup_commit_seconds_sum": set(),
    "dedup_checkpoint_age_seconds": set(),
    "dedup_restored_keys": set(),
    "dedup_build_info": {"version"},
}
# Metrics of evictions, Bloom filters and near duplicates.
OTHERS = {
    "dedup_evictions_total": {"reason"},
    "dedup_bloom_false_positive_rate": set(),
    "dedup_similarity_capped_total": set(),
}


def test_samples_have_the_promised_names_and_labels() -> None:
    metrics = Metrics()
    metrics.duplicates.labels("event_id").inc()
    metrics.input_lag.labels("t", 0).set(1)
    metrics.input_event_time.labels("t", 0).set(1)
    metrics.input_partitions.labels("read").set(1)

    labels_of: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels_of.setdefault(sample.name, set()).update(sample.labels)

    assert {name: labels for name, labels in labels_of.items() if name not in OTHERS} == NAMES
    assert all(OTHERS[name] == labels for name, labels in labels_of.items() if name not in NAMES)


def test_every_metric_says_what_it_means() -> None:
    for family in Metrics().registry.collect():
        assert re.fullmatch(r"[A-Z0-9].{30,}\.", family.documentation), family.name


def test_verdicts_are_there_before_the_first_record() -> None:
    text = generate_latest(Metrics().registry).decode()

    for verdict in ("unique", "duplicate", "late", "invalid"):
        assert f'dedup_events_processed_total{{verdict="{verdict}"}} 0.0' in text
    assert "_created" not in text
