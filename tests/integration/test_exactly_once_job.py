"""The whole job, exactly once: what it survives, and its errors if it must not go on."""

import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from deploy.kafka import Broker
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import events, expected_in_any_order, outputs, stream
from tests.integration.topics import Topics

SECONDS = 30.0
RATE = 1000.0
STOP_SECONDS = 10.0
# From the signal to the end; the measured time includes the test's polling on a busy machine.
STOPPED_SECONDS = STOP_SECONDS + 2.0


def wait_until_written(topics: Topics, job: Job) -> None:
    """Wait until the job has answered records and ended an epoch."""
    before = committed(topics)
    job.wait_until(lambda: committed(topics) not in ({}, before))


def committed(topics: Topics) -> dict[int, int]:
    """Offsets of the group; none while a broker that has just started does not know them."""
    try:
        return topics.committed()
    except KafkaException:
        return {}


@pytest.mark.parametrize("with_recovery", [True, False])
def test_a_setting_that_changed_is_named(
    make_topics: MakeTopics, tmp_path: Path, with_recovery: bool
) -> None:
    topics = make_topics()
    topics.produce(events(200, seed=1))
    recovery = recovery_directory(tmp_path / "recovery") if with_recovery else None
    finish(Job(topics.settings, tmp_path, recovery=recovery))
    topics.produce(events(10, seed=2))

    changed = topics.settings | {"DEDUP_WINDOW_SECONDS": "60"}
    error = fail(Job(changed, tmp_path, recovery=recovery))

    assert "DEDUP_WINDOW_SECONDS was 3600 when" in error
    assert "is 60 now" in error
    assert f"{topics.prefix}-changelog" in error


def test_another_number_of_lanes_is_named(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    topics.produce(events(200, seed=1))
    finish(Job(topics.settings, tmp_path))

    error = fail(Job(topics.settings | {"DEDUP_LANES": "8"}, tmp_path))

    assert f"DEDUP_LANES=8, but {topics.prefix}-changelog has 4 partitions" in error


def test_a_changelog_that_time_would_delete_is_refused(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics()
    topics.create(f"{topics.prefix}-changelog", 4, retention_ms="3600000")

    error = fail(Job(topics.settings, tmp_path))

    assert "retention.ms=3600000, which would delete what the job knows: set it to -1" in error


def test_an_application_that_ran_at_least_once_is_refused(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    """Its keys are in no changelog: it must not start as if there were none."""
    topics = make_topics()
    topics.produce(events(200, seed=1))
    recovery = recovery_directory(tmp_path / "recovery")
    at_least = topics.settings | {"DEDUP_GUARANTEE": "at_least_once"}
    finish(Job(at_least, tmp_path, recovery=recovery))

    assert "at_least_once" in fail(Job(topics.settings, tmp_path, recovery=recovery))
    assert "at_least_once" in fail(Job(topics.settings, tmp_path))
    topics.create(f"{topics.prefix}-changelog", 4, retention_ms="-1", retention_bytes="-1")
    error = fail(Job(topics.settings, tmp_path, recovery=recovery))
    assert "made with DEDUP_GUARANTEE=at_least_once" in error


def test_a_missing_changelog_is_named(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    topics.produce(events(200, seed=1))
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(topics.settings, tmp_path, recovery=recovery))
    changelog = f"{topics.prefix}-changelog"
    topics.delete(changelog)

    error = fail(Job(topics.settings, tmp_path))
    assert f"changelog {changelog} is gone" in error

    topics.create(changelog, 4, retention_ms="-1", retention_bytes="-1")
    error = fail(Job(topics.settings, tmp_path, recovery=recovery))
    assert "is ahead of its changelog" in error


def test_without_group_and_recovery_directory_the_changelog_is_enough(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(2)
    records = topics.produce(events(1000, seed=1, partitions=2))
    finish(Job(topics.settings, tmp_path))
    admin = topics.admin()
    admin.delete_consumer_groups([topics.prefix])[topics.prefix].result(SECONDS)
    assert topics.committed() == {}
    unique = len(topics.read(["unique"])["unique"])
    records += topics.produce(events(1000, seed=1, partitions=2))  # the same events, or late ones

    finish(Job(topics.settings, tmp_path))

    read = topics.read()
    assert sum(map(len, read.values())) == len(records)
    assert len(read["unique"]) == unique


@pytest.mark.parametrize("processes", [3])
def test_more_workers_than_lanes(make_topics: MakeTopics, tmp_path: Path, processes: int) -> None:
    """Two lanes on three workers, for which their names were not made: one process idles."""
    topics = make_topics(2)
    recovery = recovery_directory(tmp_path / "recovery")
    settings = topics.settings | {"DEDUP_LANES": "2"}
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(1_000_000, seed=5, partitions=2), RATE) as producer:
        with Job(going, tmp_path, processes=processes, recovery=recovery) as job:
            wait_until_written(topics, job)
            time.sleep(1)
            job.kill()
        assert "3 workers, but DEDUP_LANES=2" in job.stderr
        with Job(going, tmp_path, processes=processes) as job:  # and without the directory
            wait_until_written(topics, job)
            job.kill()
        records = producer.stop()
    finish(Job(settings, tmp_path, processes=processes, recovery=recovery))

    assert outputs(topics.read()) == expected_in_any_order(records, topics.input)


def test_a_refused_record_names_the_topic(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    topics.create(topics.outputs["duplicate"], max_message_bytes="300")
    topics.produce(events(1000, seed=1))

    error = fail(Job(topics.settings, tmp_path))

    assert f"topic {topics.outputs['duplicate']} refused a record" in error
    assert "Nothing is lost" in error


def test_stopped_while_it_waits_for_the_other_processes(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics()
    with Job(topics.settings, tmp_path, processes=2) as job:
        job.kill([1])
        job.wait_until(lambda: "process 0 waits for the other 1 of the cluster" in job.stderr)
        job.send(signal.SIGTERM)
        [waiting, _] = job.wait(STOPPED_SECONDS)
    assert waiting.status == 0


def test_stopped_while_the_broker_is_away(own_broker: Broker, tmp_path: Path) -> None:
    topics = Topics(own_broker.bootstrap, "away", 2)
    topics.create(topics.input)
    going = topics.settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(1_000_000, seed=5, partitions=2), RATE) as producer:
        with Job(going, tmp_path) as job:
            wait_until_written(topics, job)
            own_broker.kill()
            time.sleep(1)
            began = time.monotonic()
            job.send(signal.SIGTERM)
            [ended] = job.wait(STOPPED_SECONDS)
            took = time.monotonic() - began
        own_broker.restart()
        records = producer.stop()
    assert took < STOPPED_SECONDS
    assert ended.status == 1
    assert "told to stop" in ended.error
    finish(Job(topics.settings, tmp_path))

    assert outputs(topics.read()) == expected_in_any_order(records, topics.input)
