"""The cluster itself: what the other tests stand on."""

import pytest

from deploy.kafka import NODES, Cluster
from tests.integration.topics import Topics

pytestmark = pytest.mark.cluster


def test_topics_have_three_replicas(cluster: Cluster, topic_prefix: str) -> None:
    topics = Topics(cluster.bootstrap, topic_prefix, partitions=6)
    topics.create(topics.input)
    cluster.wait_until_in_sync()

    listed = topics.admin().list_topics(topics.input, timeout=10).topics[topics.input].partitions
    assert [sorted(one.isrs) for one in listed.values()] == [list(NODES)] * 6
    assert {cluster.leader(topics.input, number) for number in listed} == set(NODES)


def test_what_is_led_by_a_dead_broker_gets_another_leader(
    cluster: Cluster, topic_prefix: str
) -> None:
    topics = Topics(cluster.bootstrap, topic_prefix)
    topics.create(topics.input)
    cluster.wait_until_in_sync()
    first = cluster.leader(topics.input, 0)

    cluster.shut_down(first)

    assert cluster.running == [node for node in NODES if node != first]
    assert cluster.leader(topics.input, 0) in cluster.running
    cluster.heal()
    assert cluster.running == list(NODES)


def test_who_coordinates_a_group(cluster: Cluster, topic_prefix: str) -> None:
    topics = Topics(cluster.bootstrap, topic_prefix)
    topics.create(topics.input)
    topics.committed()  # a coordinator is made when it is asked for
    cluster.wait_until_in_sync()

    admin = topics.admin()
    described = admin.describe_consumer_groups([topic_prefix])[topic_prefix].result(10)
    assert cluster.group_coordinator(topic_prefix) == described.coordinator.id
