"""An input topic that was deleted and created again was taken for the one of before.

Its first records have offsets that were answered before: they vanished without a word.
"""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.streams import events
from tests.model import Record


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
