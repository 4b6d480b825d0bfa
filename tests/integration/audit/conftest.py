"""Fixtures: a job's topics on Kafka, and the audit of them."""

import uuid

import pytest
from confluent_kafka import Producer

from deploy.kafka import Broker
from flows.cli import app
from tests.integration.audit.kafka_run import SECONDS, VERDICTS, Audit, KafkaRun


@pytest.fixture(scope="module")
def writer(broker: Broker) -> Producer:
    """A transactional producer for all inputs: to open one takes a second."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": uuid.uuid4().hex}
    )
    producer.init_transactions(SECONDS)
    return producer


@pytest.fixture
def run(broker: Broker, topic_prefix: str, writer: Producer) -> KafkaRun:
    made = KafkaRun(broker.bootstrap, topic_prefix)
    made.create()
    made.write_input(writer)
    return made


@pytest.fixture
def audit(
    run: KafkaRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Audit:
    monkeypatch.setenv("DEDUP_BROKERS", run.bootstrap)
    monkeypatch.setenv("DEDUP_APP_ID", run.prefix)
    monkeypatch.setenv("DEDUP_INPUT_TOPIC", run.topic("input"))
    for verdict in VERDICTS:
        monkeypatch.setenv(f"DEDUP_{verdict.upper()}_TOPIC", run.topic(verdict))

    def call(*words: str) -> tuple[int, str]:
        status = app.main(["audit", *words])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call
