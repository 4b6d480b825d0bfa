"""The audit on Kafka, after the input topic was deleted and created again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_topics import input_partitions
from flows.cli import app
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.streams import events
from tests.integration.topics import Topics
from tests.model import Record

SECONDS = 30.0

Report = Callable[[], tuple[int, str]]


@pytest.fixture(params=["exactly_once", "at_least_once"])
def topics(
    request: pytest.FixtureRequest,
    make_topics: MakeTopics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Topics:
    """Topics of a job that has read an input, and then another one of the same name."""
    topics = make_topics(2)
    settings = topics.settings | {
        "DEDUP_GUARANTEE": request.param,
        # The watermark is kept: with less, nearly all of the new topic is late.
        "DEDUP_ALLOWED_LATENESS_SECONDS": "100000",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    old = topics.produce(events(400, seed=1, partitions=2))
    finish(Job(settings, tmp_path))
    topics.delete(topics.input)
    topics.create(topics.input)
    topics.produce(events(300, seed=2, partitions=2))
    if request.param == "exactly_once":
        # The keys are kept, so these repeat what was read of the old topic.
        topics.produce(old[:100])
    finish(Job(settings, tmp_path))
    return topics


@pytest.fixture
def audit(topics: Topics, capsys: pytest.CaptureFixture[str]) -> Report:
    def call() -> tuple[int, str]:
        capsys.readouterr()
        status = app.main(["audit"])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call


def write_again(topics: Topics, verdict: str, records: list[Record]) -> None:
    """Make an output again, with these records."""
    topic = topics.outputs[verdict]
    topics.delete(topic)
    topics.create(topic)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "enable.idempotence": True})
    for record in records:
        producer.produce(
            topic,
            record.value,
            record.key,
            record.partition,
            headers=list(record.headers or []),
            timestamp=record.timestamp_ms or 0,
        )
    assert producer.flush(SECONDS) == 0


def by_topic(topics: Topics, records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Answers to the earlier topic, and to the topic of now."""
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    now = input_partitions(access, topics.admin(), [topics.input])[0].topic_id.encode()
    return (
        [record for record in records if topic_id(record) != now],
        [record for record in records if topic_id(record) == now],
    )


def topic_id(record: Record) -> bytes | None:
    return dict(record.headers or ()).get("dedup.topic.id")


def test_right_outputs_are_proved_and_broken_ones_found(topics: Topics, audit: Report) -> None:
    read = topics.read()
    status, report = audit()
    assert status == 0, report
    earlier = sum(
        len(by_topic(topics, records)[0])
        for verdict, records in read.items()
        if verdict != "unique"
    )
    assert f"note: {earlier} records of the outputs answer an earlier topic" in report
    assert "unique records match no input record without an answer: they may answer an" in report

    # A unique record of the topic of now is gone; those of the earlier topic came first.
    values = {record.value for record in events(300, seed=2, partitions=2)}
    unique = [record for record in read["unique"] if record.value in values]
    write_again(topics, "unique", [one for one in read["unique"] if one is not unique[7]])
    status, report = audit()
    assert status == 1
    assert "1 input records have no answer" in report

    # An answer says that it is to the earlier topic.
    write_again(topics, "unique", read["unique"])
    before, now = by_topic(topics, read["duplicate"])
    # One that has no equal in the earlier topic, whose unique record could answer it.
    headers = next(record for record in now if record.value in values).headers or []
    at = [name for name, _ in headers].index("dedup.topic.id")
    headers[at] = ("dedup.topic.id", topic_id(before[0]))
    write_again(topics, "duplicate", read["duplicate"])
    status, report = audit()
    assert status == 1
    assert "1 input records have no answer" in report
    assert f"note: {earlier + 1} records of the outputs answer an earlier topic" in report


def test_an_original_in_the_earlier_topic_is_a_note(topics: Topics, audit: Report) -> None:
    elsewhere = [
        record
        for record in topics.read(["duplicate"])["duplicate"]
        if "dedup.original.topic" in dict(record.headers or ())
    ]
    status, report = audit()

    assert status == 0, report
    note = f"note: {len(elsewhere)} duplicates name an original in an earlier topic"
    assert (note in report) == bool(elsewhere)


def test_the_changelog_tells_of_an_earlier_topic_of_unique_records_only(
    make_topics: MakeTopics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topics = make_topics()
    for name, value in topics.settings.items():
        monkeypatch.setenv(name, value)
    topics.produce(events(40, seed=1))
    finish(Job(topics.settings, tmp_path))
    for verdict in ("duplicate", "late", "invalid"):
        write_again(topics, verdict, [])  # as if all records had been unique
    topics.delete(topics.input)
    topics.create(topics.input)
    topics.produce(events(20, seed=2))
    finish(Job(topics.settings, tmp_path))
    capsys.readouterr()

    assert app.main(["audit"]) == 0
    report = capsys.readouterr().out
    assert "records of the outputs answer an earlier topic" not in report
    assert "unique records match no input record without an answer: they may answer an" in report
