"""The audit on Kafka: replays, transactions, retention, and topics that cannot be read."""

import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ClusterMetadata

from connectors.kafka import requests, topic_reader
from tests.integration.audit.kafka_run import (
    SECONDS,
    Audit,
    Header,
    KafkaRun,
    Output,
)


def replayed(output: Output, times: int = 1) -> Output:
    """The record that `dedup replay --to` writes for an output."""
    own: list[Header] = [*output.headers[:2], ("dedup.replays", str(times))]
    return Output(output.record, output.timestamp, own)


def test_records_replayed_to_the_unique_topic_are_recognised(run: KafkaRun, audit: Audit) -> None:
    for verdict in ("late", "duplicate"):
        run.outputs["unique"].append(replayed(run.outputs[verdict][5]))
    run.write_outputs()
    status, report = audit()

    assert status == 0, report
    assert "note: 2 records that are not unique were sent to the unique output" in report


def test_a_record_replayed_twice_to_the_unique_topic_is_named(run: KafkaRun, audit: Audit) -> None:
    run.outputs["unique"] += [replayed(run.outputs["late"][5])] * 2
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 answers are to records that have one already:" in report
    assert f"answers {run.name(run.outputs['late'][5].record).strip()} again" in report


def test_records_judged_with_another_lateness_are_right_if_it_is_given(
    run: KafkaRun, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write_outputs()
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "100000")
    status, report = audit()
    assert status == 1
    assert "have a verdict that the rules do not give" in report

    status, report = audit("--allowed-lateness=300")
    assert status == 0, report


def test_records_of_an_aborted_transaction_do_not_count(run: KafkaRun, audit: Audit) -> None:
    run.write_outputs()
    producer = Producer(
        {"bootstrap.servers": run.bootstrap, "transactional.id": run.topic("aborted")}
    )
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    run.outputs["unique"][0].send(producer, run.topic("unique"))
    producer.flush(SECONDS)
    producer.abort_transaction(SECONDS)

    assert audit()[0] == 0


def test_a_hanging_transaction_is_named(run: KafkaRun, audit: Audit) -> None:
    run.write_outputs()
    producer = Producer(
        {"bootstrap.servers": run.bootstrap, "transactional.id": run.topic("hanging")}
    )
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    producer.produce(run.topic("late"), b"never committed", partition=1)
    producer.flush(SECONDS)
    try:
        status, report = audit("--patience=0.5")
    finally:
        producer.abort_transaction(SECONDS)

    assert status == 1
    assert f"1 partitions have a transaction that hangs:\n  {run.topic('late')}-1-" in report
    assert audit("--patience=0.5")[0] == 0


def test_a_dropped_verdict_is_reported_and_the_rest_proved(
    run: KafkaRun, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = len(run.outputs.pop("late"))
    run.outputs["duplicate"].append(run.outputs["duplicate"][5])
    monkeypatch.setenv("DEDUP_LATE_TOPIC", "")
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert f"note: {dropped} input records have no output: late records are dropped" in report
    assert "1 answers are to records that have one already:" in report
    assert "have no answer" not in report


def test_deleted_input_is_reported_and_the_rest_proved(run: KafkaRun, audit: Audit) -> None:
    run.write_outputs()
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    cut = [TopicPartition(run.topic("input"), 0, 40)]
    for deleted in admin.delete_records(cut).values():
        deleted.result(SECONDS)
    status, report = audit()

    assert status == 0, report
    assert f"note: 40 offsets at the beginning of {run.topic('input')} were deleted" in report
    assert "unique records match no input record that is still there" in report


def test_an_original_that_was_deleted_is_a_note(run: KafkaRun, audit: Audit) -> None:
    output = next(
        output
        for output in run.outputs["duplicate"]
        if output.record.repeats is not None
        and run.places[output.record.repeats][0] == run.places[output.record.index][0]
    )
    assert output.record.repeats is not None
    partition, offset = run.places[output.record.repeats]
    run.write_outputs()
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    cut = [TopicPartition(run.topic("input"), partition, offset + 1)]
    for deleted in admin.delete_records(cut).values():
        deleted.result(SECONDS)
    status, report = audit()

    assert status == 0, report
    assert "name an original deleted by retention" in report


def test_a_missing_topic_is_named(
    run: KafkaRun, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_INPUT_TOPIC", run.topic("nowhere"))
    status, report = audit()

    assert status == 2
    [line] = report.splitlines()
    assert line.startswith(f"dedup: topic {run.topic('nowhere')} does not exist; like it: ")
    assert line.endswith(". Check the settings (`dedup config` shows them)")


def test_a_broker_that_falls_silent_is_one_line(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unanswered(Consumer):
        def list_topics(self, *_: object, **__: object) -> ClusterMetadata:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "Failed to get metadata"))

    monkeypatch.setattr(topic_reader, "Consumer", Unanswered)
    monkeypatch.setattr(requests, "REQUEST_SECONDS", 0.1)

    status, report = audit()

    assert status == 2
    [line] = report.splitlines()
    assert line.startswith("dedup: cannot talk to Kafka at DEDUP_BROKERS=")
