"""A frozen process of a cluster closes no connection: the others must not wait forever."""

import signal
import time
from pathlib import Path

import pytest

from tests.integration import job as jobs
from tests.integration.conftest import MakeTopics
from tests.integration.endpoints import Endpoints
from tests.integration.job import Job
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import events, stream

# The job, with a quick watchdog and quick probes.
_QUICK = """
from flows.process import health
from flows.process import watchdog
health.LIVE_SECONDS = 5.0
watchdog._CHECK_SECONDS = 0.5
watchdog._SILENT_SECONDS = 12.0
from flows.dedup import flow
"""


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "quick_dedup.py").write_text(_QUICK)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{jobs.ROOT}")
    original = jobs._commands

    def commands(*options: object) -> list[list[str]]:
        return [
            [word.replace("flows.dedup", "quick_dedup") for word in command]
            for command in original(*options)  # type: ignore[arg-type]
        ]

    monkeypatch.setattr(jobs, "_commands", commands)
    return folder


def test_the_others_end_when_one_is_frozen(
    make_topics: MakeTopics, tmp_path: Path, quick: Path
) -> None:
    topics = make_topics(2)
    at = Endpoints(2)
    settings = topics.settings | {
        "DEDUP_METRICS_PORT": str(at.port),
        "DEDUP_STOP_AT_END": "false",
    }
    records = stream(100_000, seed=3, partitions=2)
    with Job(settings, tmp_path, processes=2) as job, PacedProducer(topics, records, 200):
        job.wait_until(
            lambda: at.total("dedup_events_processed_total") > 500 if at.ready else False
        )
        job.send(signal.SIGSTOP, [1])
        job.wait_until(lambda: at.get("/livez").status_code == 503)
        assert "nothing was read, decided or written" in at.get("/livez").text
        assert job._running[0].wait(jobs.SECONDS) == 1
        job.kill([1])
        [ended, _] = job.wait()
    assert (
        "this process ends. Does another process or host of the cluster stand still" in ended.error
    )


def test_a_job_that_was_frozen_itself_goes_on(
    make_topics: MakeTopics, tmp_path: Path, quick: Path
) -> None:
    topics = make_topics()
    at = Endpoints()
    settings = topics.settings | {
        "DEDUP_METRICS_PORT": str(at.port),
        "DEDUP_STOP_AT_END": "false",
    }
    topics.produce(events(500, seed=4))
    with Job(settings, tmp_path) as job:
        job.wait_until(lambda: at.ready)
        job.send(signal.SIGSTOP)
        time.sleep(14)
        job.send(signal.SIGCONT)
        job.wait_until(lambda: at.status_of("/livez") == [200])
        topics.produce(events(500, seed=5))
        job.wait_until(lambda: at.total("dedup_events_processed_total") == 1000)
