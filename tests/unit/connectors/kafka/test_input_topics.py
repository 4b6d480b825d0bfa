"""Which input partitions there are, after what the brokers answer."""

import base64
import struct

import pytest
from confluent_kafka import Uuid

from connectors.kafka.input_topics import input_partitions
from operators.batches import InputPartition
from tests.input_cluster import Cluster, StandInAccess, Topic


def found(cluster: Cluster, *topics: str) -> list[InputPartition]:
    access = StandInAccess("no:1", "app", cluster=cluster)
    return input_partitions(access, access.admin(), topics)


def test_partitions_have_the_id_of_their_topic() -> None:
    cluster = Cluster(b=Topic("b1", 1), a=Topic("a1", 2))

    assert found(cluster, "b", "a") == [
        InputPartition("a", "a1", 0),
        InputPartition("a", "a1", 1),
        InputPartition("b", "b1", 0),
    ]


def test_a_topic_that_does_not_exist_has_none() -> None:
    assert found(Cluster(a=Topic("a1", 1)), "a", "b") == [InputPartition("a", "a1", 0)]


def test_brokers_that_know_no_ids_send_zeros() -> None:
    assert found(Cluster(a=Topic("AAAAAAAAAAAAAAAAAAAAAA", 1)), "a") == [InputPartition("a", "", 0)]


@pytest.mark.parametrize("bits", [(1, 2), (-1, -1), (0x7FFBEFBEFBEFBEFB, -17)])
def test_ids_are_in_the_base64_that_kafkas_tools_show(bits: tuple[int, int]) -> None:
    """The client's own text of an id has + and / where that has - and _."""
    given = str(Uuid(*bits))
    shown = base64.urlsafe_b64encode(struct.pack(">qq", *bits)).rstrip(b"=").decode()

    assert found(Cluster(a=Topic(given, 1)), "a") == [InputPartition("a", shown, 0)]
