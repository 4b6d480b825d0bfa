"""Brokers that do not answer in time, or have elected a leader: this is logged, and no answer."""

import logging
import time
from collections.abc import Iterator

import pytest

from connectors.exactly_once.changelog import Changelog
from connectors.kafka import topic_reader, topics
from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import KafkaUnreachableError
from connectors.kafka.topic_reader import TopicReader
from connectors.kafka.topics import ensure_topics
from flows.cli.replay.log import ensure_log
from operators.errors import StateError
from tests.integration.mock_brokers import MockBrokers, mock_brokers

SECONDS = 30.0
TOPIC = "app-changelog"


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockBrokers]:
    """They do not answer requests for a topic's settings."""
    for module in (topics, topic_reader):
        monkeypatch.setattr(module, "REQUEST_SECONDS", 0.5)
    with mock_brokers() as started:
        started.create(TOPIC)
        yield started


@pytest.fixture
def access(brokers: MockBrokers) -> KafkaAccess:
    return KafkaAccess(brokers.bootstrap, "app", common={"log_level": 0})


@pytest.fixture
def changelog(access: KafkaAccess) -> Changelog:
    """A changelog whose client knows the leader."""
    changelog = Changelog(access, lanes=1)
    changelog.ensure("in")
    assert changelog.last_offsets([0]) == {0: 0}
    return changelog


def of_changelog(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "dedup.changelog"]


def test_the_end_of_the_changelog_is_known_after_an_election(
    brokers: MockBrokers, changelog: Changelog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        caplog.clear()
        brokers.lead_again(TOPIC)
        assert changelog.last_offsets([0]) == {0: 0}
        assert of_changelog(caplog) == []


def test_without_an_answer_there_is_no_end_of_the_changelog(
    brokers: MockBrokers, changelog: Changelog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    brokers.answer_after(milliseconds=60_000)
    assert changelog.last_offsets([0]) == {}
    assert of_changelog(caplog) == ["lane 0: cannot ask for its last offset: Local: Timed out"]


def test_an_election_at_slow_brokers_is_waited_for_no_longer_than_their_silence(
    brokers: MockBrokers, changelog: Changelog, caplog: pytest.LogCaptureFixture
) -> None:
    """All requests have two seconds: here the first answer takes most of them."""
    caplog.clear()
    brokers.answer_after(milliseconds=1_500)
    brokers.lead_again(TOPIC)
    assert changelog.last_offsets([0]) == {}
    (message,) = of_changelog(caplog)
    assert message.endswith("Timed out")


def test_the_end_of_the_changelog_is_known_when_brokers_are_back(
    brokers: MockBrokers, changelog: Changelog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    brokers.go_away()
    assert changelog.last_offsets([0]) == {}
    (message,) = of_changelog(caplog)
    assert message.startswith("lane 0: cannot ask for its last offset: ")
    brokers.come_back()
    brokers.lead_again(TOPIC)
    deadline = time.monotonic() + SECONDS
    while changelog.last_offsets([0]) != {0: 0}:
        assert time.monotonic() < deadline


def test_an_audit_takes_no_missing_answer_for_the_end_of_a_topic(
    brokers: MockBrokers, access: KafkaAccess
) -> None:
    reader = TopicReader(access, timestamps=False)
    assert reader.offset_ranges(TOPIC) == {0: (0, 0)}
    brokers.answer_after(milliseconds=60_000)
    with pytest.raises(KafkaUnreachableError, match=r"cannot talk to Kafka .*Timed out"):
        reader.offset_ranges(TOPIC)
    reader.close()


def test_settings_of_the_changelog_that_nobody_tells_are_not_checked(
    access: KafkaAccess, caplog: pytest.LogCaptureFixture
) -> None:
    Changelog(access, lanes=1).ensure("in")
    (message,) = of_changelog(caplog)
    assert message.startswith(f"cannot check the settings of {TOPIC}: ")
    assert message.endswith("Timed out")


def test_an_output_is_not_created_before_it_is_known_how_large_records_may_be(
    brokers: MockBrokers, access: KafkaAccess
) -> None:
    brokers.create("in")
    with pytest.raises(KafkaUnreachableError, match=r"cannot talk to Kafka .*Timed out"):
        ensure_topics(access, "in", ["out"], create=True)


def test_a_log_of_replays_is_not_used_unchecked(brokers: MockBrokers, access: KafkaAccess) -> None:
    brokers.create("app-replayed")
    with pytest.raises(StateError, match=r"cannot check the settings of app-replayed: .*Timed out"):
        ensure_log(access, access.admin(), "in")
