"""A run that stops at the end of its input said nothing of records behind an open transaction.

They were left to the next run, and the backfill looked complete.
"""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.streams import events
from tests.integration.topics import Filler, Topics, wait_until_settled


def open_transaction(topics: Topics, count: int) -> Filler:
    filler = Filler(topics, transactional_id=f"{topics.prefix}-open")
    filler.producer.begin_transaction()
    for draft in events(count, seed=2):
        filler.add(draft)
    filler.finish()
    return filler


def lines(topics: Topics, tmp_path: Path, processes: int = 1) -> list[str]:
    """Run the job; return what it says of partitions that it did not read to their last record."""
    ended = finish(Job(topics.settings, tmp_path, processes=processes))
    stderr = "\n".join(one.stderr for one in ended)
    return [line for line in stderr.splitlines() if "was read up to offset" in line]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_line_says_what_was_left(make_topics: MakeTopics, tmp_path: Path, processes: int) -> None:
    topics = make_topics(2)
    topics.produce(events(10, seed=1))
    filler = open_transaction(topics, 5)
    topics.produce(events(3, seed=3))  # committed, but behind the transaction's first record

    [line] = lines(topics, tmp_path, processes)
    assert f"{topics.input}/0 was read up to offset 10: a writer's transaction was open" in line
    assert "at most 8 records were left" in line
    assert sum(map(len, topics.read().values())) == 10

    filler.producer.commit_transaction()
    wait_until_settled(topics.bootstrap, [topics.input])
    assert lines(topics, tmp_path) == []
    assert sum(map(len, topics.read().values())) == 18


def test_what_was_aborted_is_not_left(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    topics.produce(events(10, seed=1))
    open_transaction(topics, 5).producer.abort_transaction()
    wait_until_settled(topics.bootstrap, [topics.input])

    assert lines(topics, tmp_path) == []
