"""The status of a process as JSON, for the status page and `dedup status`."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry

from flows.launch import Launch
from flows.process.health import Health
from flows.settings.model import Settings
from operators.batches import InputPartition
from operators.lanes.hot_keys import HotKey
from operators.monitoring.metrics import DISTRIBUTION
from operators.monitoring.observer import InputStatus
from operators.verdicts import VERDICTS

# The page redraws as often.  300 samples are ten minutes, about 30 kB.
_SAMPLE_SECONDS = 2.0
_MAX_SAMPLES = 300
# Rates and latencies cover about the last ten seconds.
_RATE_SAMPLES = 5

Report: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """Figures at one moment; counts begin with the process.

    at: epoch seconds.  counts: records by verdict, in the order of `VERDICTS`.  lag: None if it
    is not known.
    """

    at: float
    counts: tuple[int, ...]
    lag: int | None
    watermark_lag: float | None
    keys: int
    commits: int
    commit_seconds: float
    evictions: int


class StatusReport:
    """Makes reports, and keeps samples of the last ten minutes for the charts."""

    def __init__(self, settings: Settings, launch: Launch, health: Health) -> None:
        self._settings = settings
        self._launch = launch
        self._observer = health.observer
        self._health = health
        self._began = time.time()
        self._samples: deque[Sample] = deque([self._sample()], maxlen=_MAX_SAMPLES)

    def start(self) -> None:
        """Start taking samples."""
        threading.Thread(target=self._run, name="status", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_SAMPLE_SECONDS)
            self._samples.append(self._sample())

    def _sample(self) -> Sample:
        observer = self._observer
        registry = observer.metrics.registry
        return Sample(
            at=time.time(),
            counts=tuple(observer.counts[verdict] for verdict in VERDICTS),
            lag=observer.lag,
            watermark_lag=_or_none(observer.watermark_lag),
            keys=sum(list(observer.keys_held.values())),
            commits=int(registry.get_sample_value("dedup_commit_seconds_count") or 0),
            commit_seconds=registry.get_sample_value("dedup_commit_seconds_sum") or 0.0,
            evictions=sum(by_label(registry, "dedup_evictions_total", "reason").values()),
        )

    def report(self, *, history: bool = False) -> Report:
        """Return the present status.  history: include the samples of the last ten minutes."""
        observer, settings, health = self._observer, self._settings, self._health
        registry = observer.metrics.registry
        now = self._sample()
        samples = [*self._samples, now]
        before = samples[max(len(samples) - 1 - _RATE_SAMPLES, 0)]
        commits = now.commits - before.commits
        problems = health.not_ready()
        report: Report = {
            "app_id": settings.app_id,
            "version": version(DISTRIBUTION),
            "process": self._launch.process,
            "processes": self._launch.processes,
            "input": settings.input_file if settings.embedded else settings.input_topic,
            "stage": health.stage,
            "ready": not problems,
            "problems": problems,
            "at": now.at,
            "uptime_seconds": now.at - self._began,
            "processed": dict(zip(VERDICTS, now.counts, strict=True)),
            "records_per_second": (sum(now.counts) - sum(before.counts))
            / max(now.at - before.at, 1e-3),
            "duplicates": by_label(registry, "dedup_duplicates_found_total", "matched"),
            "inputs": [
                self._input(partition, status)
                for partition, status in sorted(observer.inputs.copy().items())
            ],
            "watermark": _or_none(observer.watermark),
            "watermark_lag_seconds": now.watermark_lag,
            "keys": now.keys,
            "bytes": sum(list(observer.state_bytes.values())),
            "restored_keys": sum(list(observer.restored_keys.values())),
            "evictions": by_label(registry, "dedup_evictions_total", "reason"),
            "commits": now.commits,
            "commit_seconds": (
                (now.commit_seconds - before.commit_seconds) / commits if commits else None
            ),
            "commit_seconds_total": now.commit_seconds,
            "checkpoint_age_seconds": observer.liveness.epoch_seconds,
            "lanes": [self._lane(lane) for lane in sorted(observer.restored_keys.copy())],
            "hot_keys": [self._hot_key(*hot_key) for hot_key in observer.hot_keys()],
        }
        if history:
            report["history"] = [asdict(sample) for sample in samples]
        return report

    def _lane(self, lane: int) -> Report:
        observer = self._observer
        return {
            "lane": lane,
            "keys": observer.keys_held.get(lane, 0),
            "bytes": observer.state_bytes.get(lane, 0),
            "records": observer.records_written.get(lane, 0),
            "watermark": _or_none(observer.watermarks.get(lane, math.nan)),
            "restored_keys": observer.restored_keys.get(lane, 0),
        }

    def _input(self, partition: InputPartition, status: InputStatus) -> Report:
        return {
            "topic": partition.topic,
            "partition": partition.partition,
            "lag": status.lag,
            "state": status.state,
            "event_time": self._observer.event_time(partition),
        }

    def _hot_key(self, lane: int, key: HotKey, example: InputPartition) -> Report:
        return {
            "lane": lane,
            "matched": self._settings.keys[key.combination].name,
            "example": f"{example.partition}:{key.offset}",
            "duplicates": key.duplicates,
        }


def to_json(report: Report) -> bytes:
    """Write a report as JSON.  Raises ValueError for NaN and infinity, which JSON lacks."""
    return json.dumps(report, allow_nan=False).encode()


def by_label(registry: CollectorRegistry, name: str, label: str) -> dict[str, int]:
    """Values of a counter: label value → count; empty if it has not counted yet."""
    return {
        sample.labels[label]: int(sample.value)
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
