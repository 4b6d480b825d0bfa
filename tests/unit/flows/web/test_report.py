"""The report that `/status` returns as JSON."""

import json
import math
from typing import Any

import pytest

from connectors.shutdown import started
from flows.launch import Launch
from flows.process.health import Health
from flows.settings.model import Settings
from flows.web import report as status_report
from flows.web.report import StatusReport, to_json
from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from operators.windows.tumbling import TumblingStore
from tests.builders import inputs, slice_of

SECRET = "s3cret-of-the-test"  # noqa: S105 - must not appear


@pytest.fixture
def observer() -> Observer:
    return Observer(Metrics())


@pytest.fixture
def report(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> StatusReport:
    monkeypatch.setattr(started, "is_set", lambda: True)
    settings = Settings(brokers="localhost:9092", app_id="orders", kafka={"sasl.password": SECRET})
    launch = Launch(None, 1, 2, 1)
    return StatusReport(settings, launch, Health(observer))


def parsed(report: StatusReport, *, history: bool = False) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(to_json(report.report(history=history)))
    return status


def test_a_new_process_reports_what_it_does_not_know_yet(report: StatusReport) -> None:
    status = parsed(report)

    assert (status["app_id"], status["process"], status["processes"]) == ("orders", 1, 2)
    assert status["input"] == "raw-events"
    assert status["processed"] == {"unique": 0, "duplicate": 0, "late": 0, "invalid": 0}
    assert (
        status["watermark"] is status["watermark_lag_seconds"] is status["commit_seconds"] is None
    )
    assert (status["stage"], status["ready"], status["problems"]) == ("starting", True, [])
    assert status["lanes"] == []
    assert "history" not in status


def test_figures_come_from_the_observer(report: StatusReport, observer: Observer) -> None:
    observer.counts.update(unique=90, duplicate=10)
    observer.metrics.duplicates.labels("event_id").inc(10)
    for lane, keys in ((1, 40), (0, 50)):
        observer.keys_held[lane] = keys
        observer.state_bytes[lane] = keys * 100
        observer.restored_keys[lane] = 5
        observer.records_written[lane] = 50
        observer.watermarks[lane] = 1_700_000_000.0 + lane
    for partition, lag in zip(inputs(2), (3, None), strict=True):
        observer.reading(partition, lag, "read" if lag else "unreachable")
    observer.committed(0.25)
    observer.committed(0.75)
    status = parsed(report)

    assert [(one["partition"], one["lag"], one["state"]) for one in status["inputs"]] == [
        (0, 3, "read"),
        (1, None, "unreachable"),
    ]
    assert (status["keys"], status["bytes"], status["restored_keys"]) == (90, 9000, 10)
    assert status["watermark"] == 1_700_000_000.0
    assert status["duplicates"] == {"event_id": 10}
    assert (status["commits"], status["commit_seconds"]) == (2, 0.5)
    assert status["records_per_second"] > 0
    assert [lane["lane"] for lane in status["lanes"]] == [0, 1]
    assert status["lanes"][0] == {
        "lane": 0,
        "keys": 50,
        "bytes": 5000,
        "records": 50,
        "watermark": 1_700_000_000.0,
        "restored_keys": 5,
    }


def test_the_hottest_keys_have_an_example_and_a_count(
    report: StatusReport, observer: Observer
) -> None:
    assert parsed(report)["hot_keys"] == []
    lane = Lane(3, LaneSpec(lambda: TumblingStore(60.0), 0.0, 30.0, {}))
    observer.opened(lane)
    lane.decide(slice_of(40, [(1.0, "a"), (1.0, "b"), (1.0, "a"), (1.0, "a")], partition=7))

    assert parsed(report)["hot_keys"] == [
        {"lane": 3, "matched": "event_id", "example": "7:42", "duplicates": 2}
    ]


def test_history_holds_the_samples_and_the_present(
    report: StatusReport, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_report, "_SAMPLE_SECONDS", 0.01)
    report.start()
    observer.counts["late"] = 4
    while len(parsed(report, history=True)["history"]) < 5:
        pass
    history = parsed(report, history=True)["history"]

    assert [sample["at"] for sample in history] == sorted(sample["at"] for sample in history)
    assert history[0]["counts"] == [0, 0, 0, 0]
    assert history[-1]["counts"] == [0, 0, 4, 0]
    assert history[-1]["watermark_lag"] is None


def test_reports_hold_no_secret(report: StatusReport) -> None:
    assert SECRET.encode() not in to_json(report.report(history=True))


def test_a_number_that_json_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        to_json({"x": math.nan})
