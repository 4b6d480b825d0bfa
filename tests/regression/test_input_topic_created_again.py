"""An input topic that was deleted and created again was taken for the one of before.

Its first records have offsets that were answered before: they vanished without a word.
"""

from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

import pytest

from connectors.kafka import topic_watch
from connectors.kafka.access import KafkaAccess
from connectors.kafka.topics import topic_id
from operators.errors import DedupError
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.streams import events
from tests.model import Record

SECONDS: Final = 30.0


@pytest.mark.parametrize(
    "guarantee, with_recovery",
    [("exactly_once", False), ("exactly_once", True), ("at_least_once", True)],
)
def test_the_start_ends_with_a_line_and_reads_nothing(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, with_recovery: bool
) -> None:
    topics = make_topics()
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    recovery = recovery_directory(tmp_path / "recovery") if with_recovery else None
    topics.produce(events(20, seed=1))
    finish(Job(settings, tmp_path, recovery=recovery))
    before = topics.read()

    topics.delete(topics.input)
    topics.create(topics.input)
    new = topics.produce(events(30, seed=2))
    error = fail(Job(settings, tmp_path, recovery=recovery))

    assert f"topic {topics.input} was deleted and created again" in error
    assert "choose another DEDUP_APP_ID" in error
    assert topics.read() == before
    another = settings | {"DEDUP_APP_ID": f"{topics.prefix}-2"}
    finish(Job(another, tmp_path))
    assert _count(topics.read()) == _count(before) + len(new)


def test_one_that_is_read_is_looked_at(
    make_topics: MakeTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would go on at its offset in the new topic, without a word."""
    monkeypatch.setattr(topic_watch, "_CHECK_SECONDS", 0.1)
    topics = make_topics()
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    known = topic_id(access, access.admin(), topics.input)
    assert known is not None
    found: SimpleQueue[DedupError] = SimpleQueue()
    topic_watch.watch_topic(access, topics.input, known, found.put)
    with pytest.raises(Empty):
        found.get(timeout=1.0)

    topics.delete(topics.input)
    topics.create(topics.input)

    error = str(found.get(timeout=SECONDS))
    assert f"topic {topics.input} was deleted and created again while the job read it" in error


def test_a_job_that_reads_it_ends(make_topics: MakeTopics, tmp_path: Path) -> None:
    """By what it meets first: another id, no topic, or an offset beyond the end."""
    topics = make_topics()
    for topic in topics.outputs.values():
        topics.create(topic)
    topics.produce(events(5, seed=1))
    with Job(topics.settings | {"DEDUP_STOP_AT_END": "false"}, tmp_path) as job:
        job.wait_until(lambda: _count(topics.read(settled=False)) == 5)
        topics.delete(topics.input)
        topics.create(topics.input)
        topics.produce(events(300, seed=2))
        [ended] = job.wait()

    assert ended.status == 1
    assert topics.input in ended.error


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
