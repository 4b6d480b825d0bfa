"""SIGTERM to one of two processes ended both with status 1 and a false reason, after 9 s."""

import signal
import time
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import (
    assert_same,
    events,
    expected_in_any_order,
    outputs,
    stream,
)


@pytest.mark.parametrize("told", [0, 2])
def test_all_idle_processes_end_in_good_order(
    make_topics: MakeTopics, tmp_path: Path, told: int
) -> None:
    topics = make_topics()
    for topic in topics.outputs.values():
        topics.create(topic)
    records = topics.produce(events(20, seed=1))
    settings = topics.settings | {"DEDUP_STOP_AT_END": "false"}
    with Job(settings, tmp_path, processes=3) as job:
        job.wait_until(lambda: sum(map(len, topics.read(settled=False).values())) == 20)
        begun = time.monotonic()
        job.send(signal.SIGTERM, [told])
        ended = job.wait(20)
        seconds = time.monotonic() - begun

    assert [process.status for process in ended] == [0, 0, 0], job.stderr
    assert seconds < 10
    assert not [line for line in job.stderr.splitlines() if line.startswith("dedup: ")]
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_all_busy_processes_commit_what_they_decided(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(3)
    settings = topics.settings | {"DEDUP_STOP_AT_END": "false"}
    with PacedProducer(topics, stream(1_000_000, seed=3, partitions=3), 2000.0) as producer:
        with Job(settings, tmp_path, processes=2, workers=2) as job:
            job.wait_until(lambda: sum(topics.committed().values()) > 0)
            job.send(signal.SIGTERM, [1])
            ended = job.wait(20)
        committed, read = topics.committed(), topics.read()
        records = producer.stop()

    assert [process.status for process in ended] == [0, 0], job.stderr
    done = [record for record in records if record.offset < committed[record.partition]]
    assert done
    assert_same(outputs(read), expected_in_any_order(done, topics.input))

    finish(Job(topics.settings, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
