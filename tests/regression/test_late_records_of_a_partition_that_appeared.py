"""Records of a partition that the job found were late by the thousand, and nothing said why.

What is older than the watermark by more than the allowed lateness is late, also where a partition
was added with records in it, or a topic created again.
"""

import json
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.topics import Topics
from tests.model import Record

NOW = 1_700_000_000.0
OLD, NEW = 25, 5
MINUTE = 60.0


def record(number: int, partition: int, time: float) -> Record:
    event = {"user_id": "u", "event_type": "t", "data": {}, "timestamp": time}
    value = json.dumps({"event_id": f"{partition}-{number}", **event}).encode()
    return Record(partition=partition, offset=-1, key=None, value=value)


def with_history(partition: int) -> list[Record]:
    """Records of which the first are late behind `NOW`."""
    times = [NOW - 5000] * OLD + [NOW] * NEW
    return [record(1000 + row, partition, time) for row, time in enumerate(times)]


def lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "when the job found it" in line]


def answered(topics: Topics) -> int:
    return sum(map(len, topics.read(settled=False).values()))


def test_one_that_was_added_while_the_job_stood(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics(1)
    topics.produce(record(number, 0, NOW) for number in range(20))
    [ended] = finish(Job(topics.settings, tmp_path))
    assert not lines(ended.stderr)  # a new application finds nothing late

    topics.add_partitions(2)
    topics.produce(with_history(1))
    [ended] = finish(Job(topics.settings, tmp_path, workers=2))
    [line] = lines(ended.stderr)
    assert f"{topics.input}/1 had records" in line
    assert f"at offsets 0 to {OLD + NEW - 1}, {OLD} are late" in line
    assert len(topics.read()["late"]) == OLD

    topics.produce([record(1, 1, NOW - 5000)])
    [ended] = finish(Job(topics.settings, tmp_path))
    assert not lines(ended.stderr)


@pytest.mark.parametrize(
    "guarantee, change", [("exactly_once", "added"), ("at_least_once", "created again")]
)
def test_one_that_appears_while_the_job_runs(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, change: str
) -> None:
    topics = make_topics(1)
    for topic in topics.outputs.values():
        topics.create(topic)
    topics.produce(record(number, 0, NOW) for number in range(20))
    settings = topics.settings | {"DEDUP_STOP_AT_END": "false", "DEDUP_GUARANTEE": guarantee}
    partition = int(change == "added")
    with Job(settings, tmp_path) as job:
        job.wait_until(lambda: answered(topics) == 20)
        job.send(signal.SIGSTOP)  # it finds all at once
        if change == "added":
            topics.add_partitions(2)
        else:
            topics.delete(topics.input)
            topics.create(topics.input)
        topics.produce(with_history(partition))
        job.send(signal.SIGCONT)
        job.wait_until(lambda: answered(topics) == 20 + OLD + NEW, MINUTE)
        # What comes later is late as anything else.
        topics.produce([record(1, partition, NOW - 5000)])
        job.wait_until(lambda: answered(topics) == 20 + OLD + NEW + 1)
        job.send(signal.SIGTERM)
        [ended] = job.wait()

    assert ended.status == 0
    [line] = lines(ended.stderr)
    assert f"{topics.input}/{partition} had records" in line
    assert f", {OLD} are late" in line
