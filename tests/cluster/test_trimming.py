"""Trimming a changelog, with a replica that is away."""

import time

import pytest
from confluent_kafka import Producer

from connectors.exactly_once.changelog import Changelog
from connectors.kafka.access import KafkaAccess
from deploy.kafka import NODES, Cluster
from tests.integration.topics import Topics

pytestmark = pytest.mark.cluster
# As long as the brokers take a node that stands still for alive.
SESSION_SECONDS = 9.0


def test_questions_are_answered_while_a_replica_does_not_delete(
    cluster: Cluster, topic_prefix: str
) -> None:
    """They were not, for a minute: the broker answers a connection's requests one by one."""
    topics = Topics(cluster.bootstrap, topic_prefix)
    topics.create(topics.input)
    changelog = Changelog(KafkaAccess(cluster.bootstrap, topic_prefix), lanes=1)
    changelog.ensure(topics.input)
    cluster.wait_until_in_sync()
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for _ in range(10):
        producer.produce(changelog.topic, b"-", partition=0)
    producer.flush(10)
    assert changelog.last_offsets([0]) == {0: 10}
    leader = cluster.leader(changelog.topic, 0)
    held = next(node for node in NODES if node != leader)

    cluster.hold(held)
    began = time.monotonic()
    changelog.trim(0, before=5)
    time.sleep(0.5)
    assert changelog.last_offsets([0]) == {0: 10}
    assert time.monotonic() - began < SESSION_SECONDS, "by then the replica no longer counts"

    # It is tried again, and the leaders may have changed.
    cluster.kill(leader)
    cluster.let_go(held)
    cluster.heal()
    _trim_until(changelog, before=7)


def _trim_until(changelog: Changelog, before: int) -> None:
    consumer = changelog.consumer()
    deadline = time.monotonic() + 90
    while changelog.ends(consumer, 0) != (before, 10):
        assert time.monotonic() < deadline
        changelog.trim(0, before)
        time.sleep(2.0)
    consumer.close()
