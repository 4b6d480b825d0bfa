"""kill -9 in mid-stream: nothing is lost, and nothing is committed that was not written."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs, stream
from tests.integration.topics import Topics
from tests.model import Record

RATE: Final = 1000.0
ENDLESS: Final = 1_000_000


def check_outputs(topics: Topics, records: Iterable[Record], guarantee: str) -> None:
    """Every output is there, once or (at least once) more often, and no other."""
    written, model = outputs(topics.read()), expected_in_any_order(records, topics.input)
    if guarantee == "exactly_once":
        assert_same(written, model)
        return
    for verdict, outputs_of in model.items():
        assert not outputs_of - written[verdict], f"lost, of {verdict}"
        assert written[verdict].keys() == outputs_of.keys(), f"wrong, of {verdict}"


def check_nothing_lost(topics: Topics, records: Iterable[Record], *, settled: bool = True) -> None:
    """Every record is in some output."""
    read = topics.read(settled=settled)
    written = Counter(record.value for records in read.values() for record in records)
    assert not Counter(record.value for record in records) - written


def below_the_group(topics: Topics, records: Iterable[Record]) -> list[Record]:
    """The records that are finished by the group's offsets."""
    committed = topics.committed()
    return [record for record in records if 0 <= record.offset < committed[record.partition]]


def wait_until_the_group_moves(topics: Topics, job: Job) -> None:
    before = sum(topics.committed().values())
    job.wait_until(lambda: sum(topics.committed().values()) > before)


def kill_in_mid_stream(topics: Topics, job: Job, draw: random.Random) -> None:
    """Kill a job at a random moment after it has finished some records."""
    wait_until_the_group_moves(topics, job)
    time.sleep(draw.uniform(0, 1.2))
    job.kill()


def test_killed_twice_and_restarted_with_recovery(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    draw = random.Random(1)
    topics = make_topics(3)
    recovery = recovery_directory(tmp_path / "recovery")
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(ENDLESS, seed=11, partitions=3), RATE) as producer:
        for _ in range(2):
            with Job(going, tmp_path, recovery=recovery) as job:
                kill_in_mid_stream(topics, job, draw)
            check_nothing_lost(topics, below_the_group(topics, producer.records), settled=False)
        records = producer.stop()
    assert len(below_the_group(topics, records)) < len(records)
    finish(Job(settings, tmp_path, recovery=recovery))

    check_outputs(topics, records, guarantee)
    assert topics.committed() == topics.ends()


@pytest.mark.parametrize("disk_is_kept", [True, False], ids=["kept", "lost"])
def test_state_on_disk_through_kills(
    make_topics: MakeTopics, tmp_path: Path, disk_is_kept: bool
) -> None:
    """Killed at any moment, restarted on the same disk or on an empty one."""
    draw = random.Random(2)
    topics = make_topics(3)
    recovery = recovery_directory(tmp_path / "recovery")
    state = tmp_path / "state"
    settings = topics.settings | {"DEDUP_STATE": "rocksdb", "DEDUP_STATE_DIR": str(state)}
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(ENDLESS, seed=16, partitions=3), RATE) as producer:
        for _ in range(3):
            with Job(going, tmp_path, recovery=recovery) as job:
                kill_in_mid_stream(topics, job, draw)
            assert len(list(state.glob("*/lane-*/CURRENT"))) == 4
            if not disk_is_kept:
                shutil.rmtree(state)
        records = producer.stop()
    finish(Job(settings, tmp_path, recovery=recovery))

    check_outputs(topics, records, "exactly_once")


def test_killed_and_restarted_without_recovery(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    topics = make_topics(2)
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}

    with PacedProducer(topics, stream(ENDLESS, seed=12, partitions=2), RATE) as producer:
        with Job(settings | {"DEDUP_STOP_AT_END": "false"}, tmp_path) as job:
            wait_until_the_group_moves(topics, job)
            job.kill()
        check_nothing_lost(topics, below_the_group(topics, producer.records), settled=False)
        records = producer.stop()
    finish(Job(settings, tmp_path))  # from the group's offsets

    if guarantee == "exactly_once":
        check_outputs(topics, records, guarantee)
    else:
        check_nothing_lost(topics, records)  # the keys of the first run are forgotten


def test_one_of_two_processes_killed_ends_the_other(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    topics = make_topics(2)
    recovery = recovery_directory(tmp_path / "recovery")
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    going = settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(ENDLESS, seed=13, partitions=2), RATE) as producer:
        with Job(going, tmp_path, processes=2, recovery=recovery) as job:
            wait_until_the_group_moves(topics, job)
            job.kill([1])
            [left, _] = job.wait(20)
        records = producer.stop()
    assert left.status > 0
    finish(Job(settings, tmp_path, processes=2, recovery=recovery))

    check_outputs(topics, records, guarantee)


def test_begun_at_latest_and_killed_at_once_skips_nothing(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(2)
    topics.produce(events(500, seed=14, partitions=2))
    settings = topics.settings | {"DEDUP_START": "latest"}

    with Job(settings | {"DEDUP_STOP_AT_END": "false"}, tmp_path) as job:
        job.wait_until(lambda: len(topics.committed()) == 2)
        job.kill()
    after = topics.produce(events(500, seed=15, partitions=2))
    finish(Job(settings, tmp_path))

    assert_same(outputs(topics.read()), expected_in_any_order(after, topics.input))
