"""At least once, a start took the group's offset of a deleted topic for one of the new topic.

Kafka keeps a group's offsets by the topic's name, and forgets them when it deletes the topic.  A
job commits once more before it notices, and dies: the next start skipped the new topic's first
records.
"""

import logging
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka.access import KafkaAccess
from connectors.kafka.group_offsets import comment_of, group_offsets
from connectors.kafka.input_topics import input_partitions
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.streams import events
from tests.integration.topics import Topics

SECONDS: Final = 30.0
OLD, NEW = 20, 30


def group_of(topics: Topics) -> Consumer:
    """A member of the job's group."""
    return Consumer(KafkaAccess(topics.bootstrap, topics.prefix).consumer_settings("test"))


def commit(topics: Topics, offset: TopicPartition) -> None:
    consumer = group_of(topics)
    try:
        consumer.commit(offsets=[offset], asynchronous=False)
    finally:
        consumer.close()


def test_a_start_reads_the_new_topic_from_its_first_record(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics()
    settings = topics.settings | {"DEDUP_GUARANTEE": "at_least_once"}
    topics.produce(events(OLD, seed=1))
    finish(Job(settings, tmp_path))
    consumer = group_of(topics)
    [late] = consumer.committed([TopicPartition(topics.input, 0)], SECONDS)
    consumer.close()
    assert late.offset == OLD

    topics.delete(topics.input)
    topics.create(topics.input)
    topics.produce(events(NEW, seed=2))
    commit(topics, late)
    [ended] = finish(Job(settings, tmp_path))

    assert sum(map(len, topics.read().values())) == OLD + NEW
    assert ended.stderr.count("was deleted and created again: it is read from its first") == 1

    # From then on the group's offsets are of the new topic.
    topics.produce(events(1, seed=3))
    finish(Job(settings, tmp_path))
    assert sum(map(len, topics.read().values())) == OLD + NEW + 1


@pytest.mark.parametrize("comment", ["", "of some other tool"])
def test_an_offset_that_names_no_topic_counts(
    make_topics: MakeTopics, caplog: pytest.LogCaptureFixture, comment: str
) -> None:
    """An earlier version committed it, or Kafka's tool that resets offsets."""
    topics = make_topics()
    topics.produce(events(OLD, seed=1))
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    partitions = input_partitions(access, access.admin(), [topics.input])
    commit(topics, TopicPartition(topics.input, 0, 7, comment))

    with caplog.at_level(logging.INFO):
        found = group_offsets(access, partitions, "earliest", begins=True)
    assert (found.starts, found.new) == ({partitions[0]: 7}, [])
    assert not caplog.records


def test_an_offset_of_the_same_topic_counts(make_topics: MakeTopics) -> None:
    topics = make_topics()
    topics.produce(events(OLD, seed=1))
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    [partition] = input_partitions(access, access.admin(), [topics.input])
    commit(topics, TopicPartition(topics.input, 0, 7, comment_of(partition)))

    assert group_offsets(access, [partition], "latest", begins=False).starts == {partition: 7}
