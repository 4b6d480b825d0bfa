"""DEDUP_STOP_AT_END: the end is reached whatever lies in the topic."""

from collections.abc import Sequence
from pathlib import Path

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.integration.topics import Filler, Topics, wait_until_settled
from tests.model import Record


def in_transaction(topics: Topics, drafts: Sequence[Record], *, commit: bool) -> list[Record]:
    """Write records in a transaction and end it; return those that count."""
    filler = Filler(topics, transactional_id=f"{topics.prefix}-filler")
    filler.producer.begin_transaction()
    for draft in drafts:
        filler.add(draft)
    filler.finish()
    if commit:
        filler.producer.commit_transaction()
    else:
        filler.producer.abort_transaction()
    wait_until_settled(topics.bootstrap, [topics.input])
    return filler.records if commit else []


def test_aborted_transactions_are_not_read_and_leave_no_gap(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(2)
    # One stream, so that no record is late; aborted records count as never written.
    drafts = events(600, seed=1, partitions=2)
    records = in_transaction(topics, drafts[:100], commit=True)
    records += in_transaction(topics, drafts[100:200], commit=False)
    records += topics.produce(drafts[200:300])
    records += in_transaction(topics, drafts[300:400], commit=False)
    recovery = recovery_directory(tmp_path / "recovery")

    finish(Job(topics.settings, tmp_path, recovery=recovery))

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
    assert topics.committed() == topics.ends()

    # What comes later follows on, over the markers and aborted records that lie between.
    records += in_transaction(topics, drafts[400:500], commit=False)
    records += in_transaction(topics, drafts[500:], commit=True)
    finish(Job(topics.settings, tmp_path, recovery=recovery))

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
    assert topics.committed() == topics.ends()


def test_a_transaction_that_is_open_at_the_start_is_not_waited_for(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics()
    drafts = events(200, seed=7)
    records = topics.produce(drafts[:100])
    filler = Filler(topics, transactional_id=f"{topics.prefix}-open")
    filler.producer.begin_transaction()
    for draft in drafts[100:]:
        filler.add(draft)
    filler.finish()

    finish(Job(topics.settings, tmp_path), seconds=20)

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
    assert topics.committed() == {0: 100}
    filler.producer.commit_transaction()
    wait_until_settled(topics.bootstrap, [topics.input])
    finish(Job(topics.settings, tmp_path))
    records += filler.records
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_empty_partitions_end_too(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics(5)
    drafts = [record for record in events(500, seed=9, partitions=5) if record.partition in (1, 3)]
    records = topics.produce(drafts)

    finish(Job(topics.settings, tmp_path, workers=2))

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
    assert topics.committed() == topics.ends()


def test_an_empty_topic_ends_at_once(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics(3)

    [ended] = finish(Job(topics.settings, tmp_path))

    assert "0 records processed" in ended.stderr
    assert not any(topics.read().values())
    assert topics.committed() == {0: 0, 1: 0, 2: 0}


def test_records_that_came_after_the_start_are_left_to_the_next_run(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics()
    drafts = events(400, seed=10)
    records = topics.produce(drafts[:200])
    finish(Job(topics.settings, tmp_path))
    finish(Job(topics.settings, tmp_path))  # nothing is new
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))

    records += topics.produce(drafts[200:])
    finish(Job(topics.settings, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
