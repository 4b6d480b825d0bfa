"""Brokers may answer a question about the group's offsets with an error for one partition.

That was read as "no offset": an application that had lost its changelog was taken for a new one.
"""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError

from connectors.exactly_once import changelog_topic
from connectors.exactly_once.changelog import Changelog
from connectors.kafka import requests, topics
from connectors.kafka.access import KafkaAccess
from connectors.kafka.group_offsets import group_offsets
from connectors.kafka.requests import KafkaUnreachableError
from operators.batches import InputPartition
from tests.integration.mock_brokers import MockBrokers, Request, mock_brokers

PARTITION = InputPartition("in", "", 0)
# The mock brokers have one partition of a topic, and answer an error for others.
UNKNOWN = InputPartition("in", "", 1)
Ask = Callable[[KafkaAccess], object]


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockBrokers]:
    # Mock brokers do not know requests that create topics.
    monkeypatch.setattr(topics, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(requests, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(changelog_topic, "create_topic", lambda *_: None)
    monkeypatch.setattr(changelog_topic, "_wait_until_visible", lambda *_: None)
    monkeypatch.setattr(changelog_topic, "partition_counts", lambda *_: {"in": 2})
    with mock_brokers() as cluster:
        cluster.create("in")
        yield cluster


@pytest.fixture
def access(brokers: MockBrokers) -> KafkaAccess:
    return KafkaAccess(brokers.bootstrap, "app", common={"log_level": 0})


@pytest.mark.parametrize(
    "ask",
    [
        lambda access: Changelog(access, lanes=1).ensure("in"),
        lambda access: group_offsets(access, [PARTITION, UNKNOWN], "latest", begins=True),
    ],
    ids=["exactly once", "at least once"],
)
def test_it_ends_the_start(access: KafkaAccess, ask: Ask) -> None:
    """Real brokers answer so for a topic that this user may not describe, for example."""
    with pytest.raises(KafkaUnreachableError) as raised:
        ask(access)
    assert raised.value.code == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_one_that_passes_does_not(brokers: MockBrokers, access: KafkaAccess) -> None:
    brokers.answer(Request.OFFSET_FETCH, [KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
    found = group_offsets(access, [PARTITION], "earliest", begins=True)
    assert found.starts == {PARTITION: 0}
