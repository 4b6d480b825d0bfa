"""An input topic that was deleted and created again was taken for the one of before.

Its first records have offsets that were answered before: they vanished without a word.  Now it is
another topic, by Kafka's id: it is read from its first record, with the keys kept.
"""

import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.streams import events
from tests.integration.topics import Topics
from tests.model import Record

SECONDS: Final = 30.0


def created_again(topics: Topics) -> None:
    topics.delete(topics.input)
    topics.create(topics.input)


@pytest.mark.parametrize(
    "guarantee, with_recovery",
    [("exactly_once", False), ("exactly_once", True), ("at_least_once", True)],
)
def test_one_created_again_while_the_job_stood_is_read_from_its_start(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, with_recovery: bool
) -> None:
    topics = make_topics()
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    recovery = recovery_directory(tmp_path / "recovery") if with_recovery else None
    old = topics.produce(events(20, seed=1))
    finish(Job(settings, tmp_path, recovery=recovery))
    before = topics.read()

    created_again(topics)
    new = topics.produce(events(30, seed=2))
    repeats = topics.produce(old)
    finish(Job(settings, tmp_path, recovery=recovery))

    after = topics.read()
    assert _count(after) == _count(before) + len(new) + len(repeats)
    # The keys of the old topic are known.
    assert {record.value for record in before["unique"]}.isdisjoint(
        record.value for record in after["unique"][len(before["unique"]) :]
    )
    ids = {_header(record, "dedup.topic.id") for record in after["duplicate"]}
    assert len(ids) == (2 if before["duplicate"] else 1)


@pytest.mark.parametrize("answered", [5, 400])
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_one_created_again_while_the_job_reads_it_is_read_from_its_start(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, answered: int
) -> None:
    """Whether the new topic soon has more records than were answered of the old one, or not."""
    topics = make_topics()
    for topic in topics.outputs.values():
        topics.create(topic)
    topics.produce(events(answered, seed=1))
    settings = topics.settings | {"DEDUP_STOP_AT_END": "false", "DEDUP_GUARANTEE": guarantee}
    with Job(settings, tmp_path) as job:
        job.wait_until(lambda: _count(topics.read(settled=False)) == answered)
        created_again(topics)
        new = topics.produce(events(300, seed=2))
        job.wait_until(lambda: _count(topics.read(settled=False)) >= answered + len(new))
        job.send(signal.SIGTERM)
        [ended] = job.wait()

    assert _count(topics.read()) == answered + len(new)
    assert "was deleted and created again" in ended.stderr


def test_one_that_is_gone_is_waited_for(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    for topic in topics.outputs.values():
        topics.create(topic)
    topics.produce(events(5, seed=1))
    with Job(topics.settings | {"DEDUP_STOP_AT_END": "false"}, tmp_path) as job:
        job.wait_until(lambda: _count(topics.read(settled=False)) == 5)
        topics.delete(topics.input)
        time.sleep(3)
        assert job.alive, job.stderr
        topics.create(topics.input)
        topics.produce(events(7, seed=2))
        job.wait_until(lambda: _count(topics.read(settled=False)) == 12)


def test_the_same_topic_goes_on(make_topics: MakeTopics, tmp_path: Path) -> None:
    """Its id is the same after a restart: nothing to complain about."""
    topics = make_topics()
    records = topics.produce(events(20, seed=1))
    finish(Job(topics.settings, tmp_path))
    records += topics.produce(events(30, seed=2))
    finish(Job(topics.settings, tmp_path))

    assert _count(topics.read()) == len(records)


def _count(read: dict[str, list[Record]]) -> int:
    return sum(map(len, read.values()))


def _header(record: Record, name: str) -> bytes | None:
    return dict(record.headers or ()).get(name)
