"""A broker died, and others led its partitions: lanes went on to ask it, or ended.

A client that asks only for offsets keeps the leaders that it knows.  A lane that had to look at
its changelog stood still until that broker was back, for the client asked nobody else; or the job
ended, since the answer was an error that was not known to pass.
"""

import time
from collections.abc import Iterator

import pytest

from connectors.exactly_once import changelog_topic
from connectors.exactly_once.changelog import Changelog
from connectors.kafka.access import KafkaAccess
from tests.integration.mock_brokers import MockBrokers, mock_brokers

TOPIC = "app-changelog"
# It asks the dead one for two seconds, then who leads, then that one; a busy machine is slower.
SECONDS = 10.0


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers(2) as started:
        started.create(TOPIC, replicas=2)
        started.lead_again(TOPIC)
        yield started


@pytest.fixture
def changelog(brokers: MockBrokers, monkeypatch: pytest.MonkeyPatch) -> Changelog:
    """A changelog whose client knows the leader."""
    # Mock brokers do not answer questions for settings: 15 s for each test.
    monkeypatch.setattr(changelog_topic, "_check_config", lambda *_: None)
    access = KafkaAccess(brokers.bootstrap, "app", common={"log_level": 0})
    changelog = Changelog(access, lanes=1)
    changelog.ensure("in")
    assert changelog.last_offsets([0]) == {0: 0}
    return changelog


def test_an_election_does_not_end_the_job(brokers: MockBrokers, changelog: Changelog) -> None:
    brokers.lead_again(TOPIC)
    changelog.wait_until_settled(0)
    assert changelog.last_offsets([0]) == {0: 0}


def test_a_lane_asks_the_new_leader(brokers: MockBrokers, changelog: Changelog) -> None:
    brokers.go_away()
    brokers.lead_again(TOPIC, leader=2)
    began = time.monotonic()
    changelog.wait_until_settled(0)
    assert time.monotonic() - began < SECONDS


def test_a_snapshot_knows_the_end(brokers: MockBrokers, changelog: Changelog) -> None:
    brokers.go_away()
    brokers.lead_again(TOPIC, leader=2)
    changelog.last_offsets([0])
    assert changelog.last_offsets([0]) == {0: 0}
