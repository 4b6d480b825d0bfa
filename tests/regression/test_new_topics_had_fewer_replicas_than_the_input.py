"""Topics that the job created had one replica beside an input with three.

The brokers' default.replication.factor is 1 unless it is set, on a cluster too.
tests/cluster/test_replication.py has the same on three brokers.
"""

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import NewTopic

from connectors.exactly_once import changelog_topic
from connectors.exactly_once.changelog import Changelog
from connectors.kafka import replication, topics
from connectors.kafka.access import KafkaAccess
from connectors.kafka.topics import ensure_topics
from flows.cli.replay import log
from tests.integration.mock_brokers import MockBrokers, mock_brokers

DEFAULT = -1


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers(3) as cluster:
        yield cluster


@pytest.fixture
def access(brokers: MockBrokers) -> KafkaAccess:
    return KafkaAccess(brokers.bootstrap, "app", common={"log_level": 0})


class NoSettingsError(Exception):
    """The mock brokers cannot create topics: what was asked for is enough."""


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Topic → replication factor that it was to be created with."""
    factors: dict[str, int] = {}

    def create(_: object, topic: NewTopic) -> None:
        factors[topic.topic] = topic.replication_factor
        raise NoSettingsError

    for module in (topics, changelog_topic, log):
        monkeypatch.setattr(module, "create_topic", create)
    monkeypatch.setattr(topics, "topic_config", lambda *_: {})
    monkeypatch.setattr(changelog_topic, "_check_new_application", lambda *_: None)
    return factors


@pytest.mark.parametrize(
    "of_input,default,wanted",
    [
        (3, 1, 3),
        (3, 2, 3),
        (2, 3, DEFAULT),
        (3, 3, DEFAULT),
        (1, 1, DEFAULT),
        (3, None, 3),
    ],
)
def test_they_have_as_many_or_more(
    brokers: MockBrokers,
    access: KafkaAccess,
    created: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    of_input: int,
    default: int | None,
    wanted: int,
) -> None:
    """Where the brokers' default is more, or all that there is to know, it counts."""
    brokers.create("in", of_input)
    if default is None:  # the mock brokers know no such request
        monkeypatch.setattr(replication, "REQUEST_SECONDS", 0.5)
    else:
        monkeypatch.setattr(replication, "_default_factor", lambda *_: default)

    with pytest.raises(NoSettingsError):
        ensure_topics(access, "in", ["out"], create=True)
    with pytest.raises(NoSettingsError):
        Changelog(access, lanes=1).ensure("in")
    with pytest.raises(NoSettingsError):
        log.ensure_log(access, access.admin(), "in")

    assert created == dict.fromkeys(("out", "app-changelog", "app-replayed"), wanted)


@pytest.mark.parametrize("of_changelog,lines", [(2, 1), (3, 0)])
def test_a_changelog_with_fewer_is_warned_of(
    brokers: MockBrokers,
    access: KafkaAccess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    of_changelog: int,
    lines: int,
) -> None:
    monkeypatch.setattr(topics, "REQUEST_SECONDS", 0.5)
    brokers.create("in", 3)
    brokers.create("app-changelog", of_changelog)

    Changelog(access, lanes=1).ensure("in")

    said = [record for record in caplog.records if "replication" in record.getMessage()]
    assert len(said) == lines
    for record in said:
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith(
            "topic app-changelog has replication 2, and the input in has 3: "
        )
