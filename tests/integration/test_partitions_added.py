"""Partitions that are added to the input: while the job runs, and while it stands."""

import signal
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.integration.topics import Topics

MINUTE = 60.0
PROCESSES = 2


def answered(topics: Topics) -> int:
    return sum(map(len, topics.read(settled=False).values()))


def settings_of(topics: Topics, guarantee: str) -> dict[str, str]:
    """Settings of a job for which no record of several streams is late."""
    lateness = {"DEDUP_ALLOWED_LATENESS_SECONDS": "100000"}
    return topics.settings | lateness | {"DEDUP_GUARANTEE": guarantee}


def test_while_the_job_runs_they_are_read_within_a_minute(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(2)
    for topic in topics.outputs.values():
        topics.create(topic)
    recovery = recovery_directory(tmp_path / "recovery")
    settings = settings_of(topics, "exactly_once")
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    def job(its: dict[str, str]) -> Job:
        return Job(its, tmp_path, processes=PROCESSES, workers=2, recovery=recovery)

    records = topics.produce(events(200, seed=1, partitions=2))
    with job(going) as running:
        running.wait_until(lambda: answered(topics) == 200)
        topics.add_partitions(5)
        records += topics.produce(
            record for record in events(500, seed=2, partitions=5) if record.partition >= 2
        )
        running.wait_until(lambda: answered(topics) == len(records), MINUTE)
        running.send(signal.SIGTERM)
        assert [one.status for one in running.wait()] == [0] * PROCESSES
    assert "has new partitions: 2, 3, 4" in running.stderr

    # A restart goes on in all of them.
    records += topics.produce(events(300, seed=3, partitions=5))
    finish(job(settings))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


@pytest.mark.parametrize(
    "guarantee, start, with_recovery",
    [
        ("exactly_once", "earliest", True),
        ("exactly_once", "latest", False),
        ("at_least_once", "earliest", False),
        ("at_least_once", "latest", True),
    ],
)
def test_while_it_stands_they_are_read_from_their_first_record(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, start: str, *, with_recovery: bool
) -> None:
    topics = make_topics(2)
    settings = settings_of(topics, guarantee) | {"DEDUP_START": start}
    recovery = recovery_directory(tmp_path / "recovery") if with_recovery else None
    before = topics.produce(events(100, seed=1, partitions=2))
    finish(Job(settings, tmp_path, recovery=recovery))
    records = before if start == "earliest" else []

    topics.add_partitions(4)
    records += topics.produce(events(400, seed=2, partitions=4))
    finish(Job(settings, tmp_path, recovery=recovery))

    records += topics.produce(events(100, seed=3, partitions=4))
    finish(Job(settings, tmp_path, recovery=recovery))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_killed_before_a_lane_has_answered_one(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    topics = make_topics(1)
    for topic in topics.outputs.values():
        topics.create(topic)
    settings = settings_of(topics, guarantee)
    going = settings | {"DEDUP_STOP_AT_END": "false"}
    recovery = recovery_directory(tmp_path / "recovery")
    records = topics.produce(events(100, seed=1))
    with Job(going, tmp_path, recovery=recovery) as job:
        job.wait_until(lambda: answered(topics) == 100)
        topics.add_partitions(2)
        records += topics.produce(
            record for record in events(1000, seed=2, partitions=2) if record.partition == 1
        )
        job.wait_until(lambda: answered(topics) > 100, MINUTE)
        job.kill()
    finish(Job(settings, tmp_path, recovery=recovery))

    read = topics.read()
    if guarantee == "exactly_once":
        assert_same(outputs(read), expected_in_any_order(records, topics.input))
    else:
        found = {record.value for its in read.values() for record in its}
        assert found == {record.value for record in records}
