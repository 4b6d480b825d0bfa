"""The observer: it counts what is written, and shows the state of lanes."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from prometheus_client import Histogram

from operators.batches import Records
from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.references import NO_REFERENCE
from operators.encode.encoder import Output, Progress
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer, WrittenBatch, observe_many
from operators.windows.tumbling import TumblingStore
from tests.builders import TOPIC, inputs

NOW = 1_700_000_000.0


@pytest.fixture
def observer() -> Observer:
    return Observer(Metrics(), clock=lambda: NOW)


def lane(number: int, keys: int, watermark: float = -math.inf) -> Lane:
    made = Lane(number, LaneSpec(lambda: TumblingStore(60.0), 0.0, 30.0, {}))
    hashes = np.arange(2 * keys, dtype=np.uint64).reshape(keys, 1, 2)
    made.store.decide(hashes, np.full(keys, NOW), np.full(keys, NO_REFERENCE + 1))
    made.watermark.value = watermark
    return made


@dataclass
class Batch:
    """Outputs of one verdict batch."""

    lane: int = 0
    read_at: float = NOW

    def part(
        self, verdict: int, records: int, matched: dict[str, int] | None = None
    ) -> WrittenBatch:
        change = LaneChange(LaneProgress(1, {0: 1}, {0: NOW}, NOW), Delta.empty())
        progress = Progress(change, 0, matched or {}) if verdict == 0 else None
        columns = Records(np.arange(records), [b""] * records)
        return WrittenBatch.of(Output(self.lane, 1, 2, verdict, columns, self.read_at, progress))


def value(observer: Observer, name: str, **labels: str) -> float | None:
    return observer.metrics.registry.get_sample_value(name, labels)


def test_what_is_written_is_counted_by_verdict_lane_and_match(observer: Observer) -> None:
    written = Batch(lane=3, read_at=NOW - 0.3)
    observer.written([written.part(0, 5, {"event_id": 2}), written.part(1, 2)], NOW)
    observer.written([written.part(0, 0)], NOW)

    assert observer.counts == {"unique": 5, "duplicate": 2, "late": 0, "invalid": 0}
    assert observer.records_written == {3: 7}
    assert value(observer, "dedup_events_processed_total", verdict="unique") == 5
    assert value(observer, "dedup_events_processed_total", verdict="duplicate") == 2
    assert value(observer, "dedup_duplicates_found_total", matched="event_id") == 2
    assert value(observer, "dedup_processing_latency_seconds_count") == 7
    assert value(observer, "dedup_processing_latency_seconds_sum") == pytest.approx(7 * 0.3)


def test_state_is_the_sum_over_the_lanes_as_they_were_last_decided(observer: Observer) -> None:
    observer.opened(lane(0, keys=4))
    observer.opened(lane(1, keys=2))
    observer.decided(lane(1, keys=3))

    assert value(observer, "dedup_state_size") == 7
    assert value(observer, "dedup_state_bytes") == sum(observer.state_bytes.values()) > 7 * 16
    assert value(observer, "dedup_restored_keys") == 6


def test_a_restored_lane_counts_before_it_has_written_anything(observer: Observer) -> None:
    observer.opened(lane(0, keys=4, watermark=NOW - 60))

    assert value(observer, "dedup_state_size") == value(observer, "dedup_restored_keys") == 4
    assert value(observer, "dedup_watermark_lag_seconds") == 60
    assert observer.liveness.decides


def test_the_watermark_is_the_smallest_and_unknown_until_every_lane_has_one(
    observer: Observer,
) -> None:
    unknown = value(observer, "dedup_watermark_seconds")
    assert unknown is not None
    assert math.isnan(unknown)
    observer.opened(lane(0, keys=0, watermark=NOW - 10))
    observer.opened(lane(1, keys=0))
    lag = value(observer, "dedup_watermark_lag_seconds")
    assert lag is not None
    assert math.isnan(lag)
    observer.decided(lane(1, keys=0, watermark=NOW - 20))

    assert value(observer, "dedup_watermark_seconds") == NOW - 20
    assert value(observer, "dedup_watermark_lag_seconds") == 20


def test_lag_is_kept_by_partition(observer: Observer) -> None:
    first, *_, last = inputs(8)
    observer.reading(first, 5, "read")
    observer.reading(last, 2, "idle")
    observer.reading(first, 3, "read")

    assert observer.inputs == {first: (3, "read"), last: (2, "idle")}
    assert observer.lag == 5
    assert value(observer, "dedup_input_lag", topic=TOPIC, partition="0") == 3
    assert value(observer, "dedup_input_lag", topic=TOPIC, partition="7") == 2
    assert value(observer, "dedup_input_partitions", state="idle") == 1


def test_a_lag_that_is_not_known_is_not_0(observer: Observer) -> None:
    first, second = inputs(2)
    observer.reading(first, 5, "read")
    observer.reading(second, 7, "read")
    observer.reading(second, None, "unreachable")

    with_unknown = observer.lag
    assert with_unknown is None
    assert value(observer, "dedup_input_lag", topic=TOPIC, partition="0") == 5
    assert value(observer, "dedup_input_lag", topic=TOPIC, partition="1") is None
    assert value(observer, "dedup_input_partitions", state="unreachable") == 1
    observer.left(second)
    assert observer.lag == 5
    assert value(observer, "dedup_input_partitions", state="unreachable") == 0


def test_commits_are_counted_and_timed(observer: Observer) -> None:
    observer.committed(0.02)
    observer.committed(0.3)

    assert value(observer, "dedup_commits_total") == 2
    assert value(observer, "dedup_commit_seconds_sum") == pytest.approx(0.32)
    assert value(observer, "dedup_commit_seconds_bucket", le="0.025") == 1


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.3, 60.0, 61.0])
def test_observing_many_is_observing_each(seconds: float) -> None:
    registries = Metrics(), Metrics()
    many, each = (metrics.latency for metrics in registries)
    assert isinstance(many, Histogram)
    observe_many(many, seconds, 3)
    for _ in range(3):
        each.observe(seconds)

    samples = [
        {
            (sample.name, sample.labels.get("le")): pytest.approx(sample.value)
            for family in histogram.collect()
            for sample in family.samples
        }
        for histogram in (many, each)
    ]
    assert samples[0] == samples[1]
