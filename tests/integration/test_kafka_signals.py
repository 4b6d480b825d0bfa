"""SIGTERM and SIGINT: status 0 within ten seconds, and everything decided is written."""

import signal
import time
from pathlib import Path

import pytest

from deploy.kafka import Broker
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import assert_same, expected_in_any_order, outputs, stream
from tests.integration.topics import Topics


@pytest.mark.parametrize(
    "what,processes,guarantee",
    [
        (signal.SIGTERM, 1, "exactly_once"),
        (signal.SIGINT, 1, "at_least_once"),
        (signal.SIGTERM, 2, "at_least_once"),
        (signal.SIGINT, 2, "exactly_once"),
    ],
)
def test_a_signal_ends_the_job_in_good_order(
    make_topics: MakeTopics,
    tmp_path: Path,
    *,
    what: signal.Signals,
    processes: int,
    guarantee: str,
) -> None:
    topics = make_topics(2)
    recovery = recovery_directory(tmp_path / "recovery")
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(1_000_000, seed=21, partitions=2), 1000.0) as producer:
        with Job(going, tmp_path, processes=processes, recovery=recovery) as job:
            job.wait_until(lambda: sum(topics.committed().values()) > 0)
            begun = time.monotonic()
            job.send(what)
            ended = job.wait(30)
            seconds = time.monotonic() - begun
        committed = topics.committed()
        read = topics.read()
        records = producer.stop()

    assert [process.status for process in ended] == [0] * processes, [
        process.stderr for process in ended
    ]
    assert seconds < 10
    assert all("records processed" in process.stderr for process in ended)
    # The group stands exactly where the outputs end.
    done = [record for record in records if record.offset < committed[record.partition]]
    assert done
    assert_same(outputs(read), expected_in_any_order(done, topics.input))

    # One process takes over from any number of processes.
    finish(Job(settings, tmp_path, recovery=recovery))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_a_signal_ends_a_job_that_waits_for_input(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()

    with Job(topics.settings | {"DEDUP_STOP_AT_END": "false"}, tmp_path) as job:
        job.wait_until(lambda: topics.committed() == {0: 0})
        time.sleep(1)
        job.send(signal.SIGTERM)
        [ended] = job.wait(10)

    assert ended.status == 0, ended.stderr


def test_a_signal_ends_a_job_whose_brokers_are_away(
    own_broker: Broker, topic_prefix: str, tmp_path: Path, guarantee: str
) -> None:
    """A client would wait for them: 45 s a partition, or forever if a commit is under way."""
    topics = Topics(own_broker.bootstrap, topic_prefix, 4)
    topics.create(topics.input)
    topics.produce(stream(5_000, seed=22, partitions=4))
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee, "DEDUP_STOP_AT_END": "false"}
    recovery = recovery_directory(tmp_path / "recovery")

    with Job(settings, tmp_path, recovery=recovery) as job:
        job.wait_until(lambda: sum(topics.committed().values()) == 5_000)
        own_broker.kill()
        time.sleep(2)
        job.send(signal.SIGTERM)
        [ended] = job.wait(10)

    assert ended.status == 0, ended.stderr
    assert "the brokers do not answer" in ended.stderr
    assert "Traceback" not in ended.stderr
