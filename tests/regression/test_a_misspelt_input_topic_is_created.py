"""A misspelt input topic was created, read to its end, and the job ended with status 0."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from connectors.kafka.access import KafkaAccess
from connectors.kafka.topics import TopicError, ensure_topics, no_such_topic
from deploy.kafka import Broker, start_broker
from flows.cli import app
from flows.process.health import BrokerCheck
from tests.integration.job import Job, fail, finish
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.integration.topics import Topics

SECONDS: Final = 30.0
# A broker that creates a topic says so in its next answers; a topic that is not there stays away.
_LOOK_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
EXISTING: Final = (
    "orders",
    "orders-eu",
    "payments",
    "Raw_Events",
    "raw-events-changelog",
    "__consumer_offsets",
)


@pytest.fixture(scope="module")
def willing_broker(kafka_wanted: None) -> Iterator[Broker]:
    """A broker that creates topics which clients ask about, as Kafka does unless told."""
    with start_broker(own=True, settings={"auto.create.topics.enable": "true"}) as found:
        yield found


@pytest.fixture
def topics(broker: Broker, topic_prefix: str) -> Topics:
    """Names that no other test uses, behind an input topic."""
    topics = Topics(broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    return topics


def appears(topics: Topics, *names: str) -> bool:
    admin = topics.admin()
    until = time.monotonic() + _LOOK_SECONDS
    while time.monotonic() < until:
        if set(names) & set(admin.list_topics(timeout=SECONDS).topics):
            return True
        time.sleep(_POLL_SECONDS)
    return False


@pytest.mark.parametrize("create", ["true", "false"])
def test_the_start_ends_with_a_line_that_names_it_and_the_one_meant(
    topics: Topics, tmp_path: Path, create: str
) -> None:
    missing = f"{topics.prefix}-inn"
    settings = topics.settings | {"DEDUP_INPUT_TOPIC": missing, "DEDUP_CREATE_TOPICS": create}

    line = fail(Job(settings, tmp_path), seconds=SECONDS)

    assert f"topic {missing} does not exist; like it: {topics.input}" in line
    assert "DEDUP_INPUT_TOPIC" in line
    assert not appears(topics, missing, *topics.outputs.values(), f"{topics.prefix}-changelog")


def test_a_broker_that_creates_topics_by_itself_does_not_create_it(
    willing_broker: Broker, tmp_path: Path, topic_prefix: str
) -> None:
    topics = Topics(willing_broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    missing = f"{topics.prefix}-inn"

    line = fail(Job(topics.settings | {"DEDUP_INPUT_TOPIC": missing}, tmp_path), seconds=SECONDS)

    assert f"topic {missing} does not exist; like it: {topics.input}" in line
    assert not appears(topics, missing)

    records = topics.produce(events(100, seed=1))
    finish(Job(topics.settings, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_none_of_our_clients_has_a_topic_created_by_asking_about_it(
    willing_broker: Broker, topic_prefix: str
) -> None:
    topics = Topics(willing_broker.bootstrap, topic_prefix)
    # As the user may have it for other programs.
    asks = {"allow.auto.create.topics": True}
    access = KafkaAccess(willing_broker.bootstrap, topic_prefix, common=asks)
    names = [f"{topic_prefix}-{client}" for client in ("readiness", "admin", "producer", "sink")]

    BrokerCheck(access, names[0])()
    access.admin().list_topics(names[1], timeout=SECONDS)
    producer = Producer(access.producer_settings("test"))
    producer.list_topics(names[2], timeout=SECONDS)
    producer.produce(names[3], b"value")
    producer.flush(1.0)
    producer.purge()

    assert not appears(topics, *names)


@pytest.mark.parametrize(
    "missing,said",
    [
        ("order", "like it: orders, orders-eu"),
        ("ORDERS", "like it: orders, orders-eu"),
        ("raw-events", "like it: Raw_Events"),
        ("consumer_offsets", "nor one with a name like it"),
        ("shipments-of-2024", "nor one with a name like it"),
    ],
)
def test_names_like_it(missing: str, said: str) -> None:
    text = no_such_topic(missing, EXISTING, {"raw-events-changelog"})
    assert text == f"topic {missing} does not exist{',' if said[0] == 'n' else ';'} {said}"


def test_what_the_application_writes_is_not_proposed(topics: Topics) -> None:
    written = [f"{topics.prefix}-out", f"{topics.prefix}-changelog", f"{topics.prefix}-replayed"]
    for topic in written:
        topics.create(topic)
    access = KafkaAccess(topics.bootstrap, topics.prefix)

    with pytest.raises(TopicError) as raised:
        ensure_topics(access, f"{topics.prefix}-outt", written[:1], create=True)

    assert topics.input in str(raised.value)
    assert not any(topic in str(raised.value).split("like it")[1] for topic in written)


@pytest.mark.parametrize(
    "words", [["audit"], ["replay", "invalid"], ["replay", "--dry-run", "late"]]
)
def test_the_commands_say_it_in_one_line_too(
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    for topic in topics.outputs.values():
        topics.create(topic)
    missing = f"{topics.prefix}-inn"
    for name, value in (topics.settings | {"DEDUP_INPUT_TOPIC": missing}).items():
        monkeypatch.setenv(name, value)

    status = app.main(words)

    [line] = capsys.readouterr().err.splitlines()
    assert status == 2
    assert f"topic {missing} does not exist; like it: {topics.input}" in line
    assert not appears(topics, missing, f"{topics.prefix}-replayed")


def test_the_topic_that_a_replay_reads_is_missing(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in topics.settings.items():
        monkeypatch.setenv(name, value)

    status = app.main(["replay", "invalid"])

    [line] = capsys.readouterr().err.splitlines()
    assert status == 2
    assert f"topic {topics.outputs['invalid']} does not exist" in line
    assert not appears(topics, f"{topics.prefix}-replayed")


def test_dedup_generate_still_creates_the_topic_that_it_writes(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = f"{topics.prefix}-new"
    for name, value in (topics.settings | {"DEDUP_INPUT_TOPIC": new}).items():
        monkeypatch.setenv(name, value)

    assert app.main(["generate", "--records", "0", "--partitions", "3"]) == 0

    assert appears(topics, new)
    assert len(topics.admin().list_topics(timeout=SECONDS).topics[new].partitions) == 3
