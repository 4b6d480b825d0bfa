"""The audit on Kafka: consistent outputs made by hand, then tampered with."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ClusterMetadata, NewTopic

from connectors.kafka import requests, topic_reader
from deploy.kafka import Broker
from flows.cli import app
from flows.cli.generate.options import Labelled, StreamOptions
from flows.cli.generate.stream import generate
from tests.model import Model, Record, Settings

SECONDS = 30.0
PARTITIONS = 2
STREAM = StreamOptions(
    records=300,
    seed=5,
    duplicates=0.2,
    late=0.1,
    invalid=0.1,
    step_seconds=20,
    partitions=PARTITIONS,
    tombstones=True,
)
VERDICTS = ("unique", "duplicate", "late", "invalid")
# What input records bring along must come out again.
OWN: tuple[str, bytes | None] = ("trace", b"\x00\xff")

Header = tuple[str, str | bytes | None]


def verdict_of(record: Labelled) -> str:
    return record.label if record.label in VERDICTS else "unique"


def seconds_late() -> dict[int, float]:
    """How far behind the watermark each late record is, by the model."""
    model = Model(Settings(), range(PARTITIONS))
    verdicts = {
        one.index: model.decide(Record(one.partition, one.index, None, one.value), time.time())
        for one in generate(STREAM)
    }
    return {index: one.late_by for index, one in verdicts.items() if one.late_by is not None}


LATE_BY = seconds_late()


@dataclass
class Output:
    """An output record to be written; `record` is the input that it answers."""

    record: Labelled
    timestamp: int
    headers: list[Header]

    def send(self, producer: Producer, topic: str) -> None:
        producer.produce(
            topic,
            self.record.value,
            self.record.key,
            self.record.index % PARTITIONS,
            timestamp=self.timestamp,
            headers=self.headers,
        )


@dataclass
class Run:
    """A job's topics: the input as it is, the outputs as lists that a test may change."""

    bootstrap: str
    prefix: str
    outputs: dict[str, list[Output]] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)

    def topic(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = [NewTopic(self.topic(name), PARTITIONS) for name in ("input", *VERDICTS)]
        for created in admin.create_topics(topics).values():
            created.result(SECONDS)

    def write_input(self, producer: Producer) -> None:
        """Write the stream in one transaction after an aborted one: offsets begin with a gap."""
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            producer.produce(self.topic("input"), b"aborted", partition=partition)
        producer.flush(SECONDS)
        producer.abort_transaction(SECONDS)
        producer.begin_transaction()
        now = int(time.time() * 1000)
        for record in generate(STREAM):
            labels: list[Header] = [("label", record.label), OWN]

            def delivered(
                error: KafkaError | None, message: Message, index: int = record.index
            ) -> None:
                assert error is None
                self.places[index] = message.partition() or 0, message.offset() or 0

            producer.produce(
                self.topic("input"),
                record.value,
                record.key,
                record.partition,
                delivered,
                timestamp=now + record.index,
                headers=labels,
            )
        assert producer.flush(SECONDS) == 0
        producer.commit_transaction(SECONDS)
        self.outputs = {verdict: [] for verdict in VERDICTS}
        for record in generate(STREAM):
            verdict = verdict_of(record)
            own: list[Header] = [("label", record.label), OWN]
            added = [] if verdict == "unique" else self.headers(record, verdict)
            self.outputs[verdict].append(Output(record, now + record.index, [*own, *added]))

    def headers(self, record: Labelled, verdict: str, original: int | None = None) -> list[Header]:
        partition, offset = self.places[record.index]
        headers: list[Header] = [
            ("dedup.verdict", verdict),
            ("dedup.topic", self.topic("input")),
            ("dedup.partition", str(partition)),
            ("dedup.offset", str(offset)),
        ]
        if verdict == "duplicate":
            original = record.repeats if original is None else original
            assert original is not None
            headers.append(("dedup.matched", "event_id"))
            headers.append(("dedup.original", "{}:{}".format(*self.places[original])))
        elif verdict == "late":
            headers.append(("dedup.reason", repr(LATE_BY.get(record.index, 301.5))))
        else:
            headers.append(("dedup.reason", record.reason or "json"))
            headers += [
                ("__connect.errors.topic", self.topic("input")),
                ("__connect.errors.partition", str(partition)),
                ("__connect.errors.offset", str(offset)),
                ("__connect.errors.exception.class.name", "dedup.InvalidJson"),
                ("__connect.errors.exception.message", "not good"),
            ]
        return headers

    def write_outputs(self) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
        for verdict, outputs in self.outputs.items():
            for output in outputs:
                output.send(producer, self.topic(verdict))
        assert producer.flush(SECONDS) == 0

    def name(self, record: Labelled) -> str:
        partition, offset = self.places[record.index]
        return f"{self.topic('input')}-{partition}-{offset}\n"


Audit = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def writer(broker: Broker) -> Producer:
    """One transactional producer for all inputs: it takes a second to get ready."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": uuid.uuid4().hex}
    )
    producer.init_transactions(SECONDS)
    return producer


@pytest.fixture
def run(broker: Broker, topic_prefix: str, writer: Producer) -> Run:
    made = Run(broker.bootstrap, topic_prefix)
    made.create()
    made.write_input(writer)
    return made


@pytest.fixture
def audit(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Audit:
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


def test_a_right_run_is_proved(run: Run, audit: Audit) -> None:
    run.write_outputs()
    status, report = audit("--least-detection=1")

    assert status == 0, report
    assert "ok: every input record is answered exactly once" in report
    assert "300  in 2 partition(s)" in report
    rows = {line.split()[0] for line in report.splitlines() if "100.000%" in line}
    assert rows == {"unique", "duplicate", "late", "invalid"}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_removed_is_named(run: Run, audit: Audit, verdict: str) -> None:
    removed = run.outputs[verdict].pop(5)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert f"1 input records have no answer:\n  {run.name(removed.record)}" in report


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_doubled_is_named(run: Run, audit: Audit, verdict: str) -> None:
    doubled = run.outputs[verdict][5]
    run.outputs[verdict].append(doubled)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 answers are to records that have one already:" in report
    assert f"answers {run.name(doubled.record).strip()} again" in report
    assert f"  {run.topic(verdict)}-" in report


@pytest.mark.parametrize("verdict", VERDICTS[1:])
@pytest.mark.parametrize("target", ["unique", "late", "duplicate"])
def test_a_record_in_the_wrong_topic_is_named(
    run: Run, audit: Audit, verdict: str, target: str
) -> None:
    if verdict == target:
        return
    run.outputs[target].append(run.outputs[verdict].pop(5))
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 output records are in the output of another verdict:" in report
    assert f"  {run.topic(target)}-" in report
    assert "have no answer" not in report


def test_a_duplicate_written_as_unique_is_named(run: Run, audit: Audit) -> None:
    moved = run.outputs["duplicate"].pop(5)
    moved.headers = moved.headers[:2]
    run.outputs["unique"].append(moved)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 unique records repeat the key of another one in the window:" in report
    assert f"{run.name(moved.record).strip()} has the key of" in report


@pytest.mark.parametrize(
    "target, kind",
    [
        ("duplicate", "name an original that they do not repeat"),
        ("invalid", "have a verdict that the rules do not give"),
    ],
)
def test_a_unique_record_written_as_another_is_named(
    run: Run, audit: Audit, target: str, kind: str
) -> None:
    moved = run.outputs["unique"].pop(5)
    other = run.outputs["unique"][9].record.index
    moved.headers += run.headers(moved.record, target, other)
    run.outputs[target].append(moved)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert kind in report
    assert run.name(moved.record).strip() in report


@pytest.mark.parametrize("verdict", ["unique", "late"])
@pytest.mark.parametrize("change", ["timestamp", "headers"])
def test_a_record_that_was_altered_is_named(
    run: Run, audit: Audit, verdict: str, change: str
) -> None:
    altered = run.outputs[verdict][5]
    if change == "timestamp":
        altered.timestamp += 1
    else:
        altered.headers = [altered.headers[0], *altered.headers[2:]]
    run.write_outputs()
    status, report = audit()

    assert status == 1
    kind = "answer no input record" if verdict == "unique" else "differ from the input record"
    assert f"1 output records {kind}" in report
    assert audit("--ignore-timestamps")[0] == (0 if change == "timestamp" else 1)


@pytest.mark.parametrize(
    "verdict, header",
    [
        *(("late", f"dedup.{name}") for name in ("topic", "partition", "offset", "reason")),
        ("duplicate", "dedup.matched"),
        ("duplicate", "dedup.original"),
        ("invalid", "dedup.reason"),
        *(
            ("invalid", f"__connect.errors.{name}")
            for name in (
                "topic",
                "partition",
                "offset",
                "exception.class.name",
                "exception.message",
            )
        ),
    ],
)
def test_a_header_that_is_missing_is_named(
    run: Run, audit: Audit, verdict: str, header: str
) -> None:
    headers = run.outputs[verdict][5].headers
    headers.remove(next(one for one in headers if one[0] == header))
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 output records do not say which record they answer" in report
    assert f": no {header}, or no valid one\n" in report


def tampered(run: Run, verdict: str, header: str, value: str) -> Output:
    """An output with another value in one header."""
    output = run.outputs[verdict][5]
    output.headers = [(name, value if name == header else text) for name, text in output.headers]
    return output


def test_a_late_record_by_seconds_that_no_watermark_gives_is_named(run: Run, audit: Audit) -> None:
    output = tampered(run, "late", "dedup.reason", "1e9")
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert f"{run.name(output.record).strip()} is late by 1000000000.0 s" in report


def test_an_original_that_comes_after_its_duplicate_is_named(run: Run, audit: Audit) -> None:
    places = run.places
    output = run.outputs["duplicate"][5]
    own = places[output.record.index]
    after = next(p for p in places.values() if p[0] == own[0] and p[1] > own[1])
    tampered(run, "duplicate", "dedup.original", "{}:{}".format(*after))
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 duplicates name an original that they do not repeat" in report
    assert run.name(output.record).strip() in report


def test_an_original_that_does_not_exist_is_named(run: Run, audit: Audit) -> None:
    tampered(run, "duplicate", "dedup.original", "7:0")
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "names 7:0, which is not in the input" in report


@pytest.mark.parametrize("similarity, status", [(1.0, 0), (0.9, 1)])
def test_near_duplicates_are_measured_again(
    run: Run, audit: Audit, monkeypatch: pytest.MonkeyPatch, similarity: float, status: int
) -> None:
    output = run.outputs["duplicate"][5]
    tampered(run, "duplicate", "dedup.matched", "similar")
    output.headers.append(("dedup.similarity", repr(similarity)))
    run.write_outputs()
    monkeypatch.setenv("DEDUP_SIMILARITY", "0.8")
    monkeypatch.setenv("DEDUP_SIMILARITY_SECONDS", "100000")
    found, report = audit()

    assert found == status, report
    assert "note: 1 of 1 near duplicates were measured again" in report
    assert ("with similarity 0.9, which is 1.0" in report) == bool(status)


def replayed(output: Output, times: int = 1) -> Output:
    """A record as `dedup replay --to` sends it on."""
    own: list[Header] = [*output.headers[:2], ("dedup.replays", str(times))]
    return Output(output.record, output.timestamp, own)


def test_records_replayed_to_the_unique_topic_are_recognised(run: Run, audit: Audit) -> None:
    for verdict in ("late", "duplicate"):
        run.outputs["unique"].append(replayed(run.outputs[verdict][5]))
    run.write_outputs()
    status, report = audit()

    assert status == 0, report
    assert "note: 2 records that are not unique were sent to the unique output" in report


def test_a_record_replayed_twice_to_the_unique_topic_is_named(run: Run, audit: Audit) -> None:
    run.outputs["unique"] += [replayed(run.outputs["late"][5])] * 2
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 answers are to records that have one already:" in report
    assert f"answers {run.name(run.outputs['late'][5].record).strip()} again" in report


def test_records_judged_under_another_lateness_are_right_if_it_is_told(
    run: Run, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write_outputs()
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "100000")
    status, report = audit()
    assert status == 1
    assert "have a verdict that the rules do not give" in report

    status, report = audit("--allowed-lateness=300")
    assert status == 0, report


def test_records_of_an_aborted_transaction_do_not_count(run: Run, audit: Audit) -> None:
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


def test_a_hanging_transaction_is_named(run: Run, audit: Audit) -> None:
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
    run: Run, audit: Audit, monkeypatch: pytest.MonkeyPatch
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


def test_deleted_input_is_reported_and_the_rest_proved(run: Run, audit: Audit) -> None:
    run.write_outputs()
    admin = AdminClient({"bootstrap.servers": run.bootstrap})
    cut = [TopicPartition(run.topic("input"), 0, 40)]
    for deleted in admin.delete_records(cut).values():
        deleted.result(SECONDS)
    status, report = audit()

    assert status == 0, report
    assert f"note: 40 offsets at the beginning of {run.topic('input')} were deleted" in report
    assert "unique records match no input record that is still there" in report


def test_an_original_that_was_deleted_is_a_note(run: Run, audit: Audit) -> None:
    output = next(
        one
        for one in run.outputs["duplicate"]
        if one.record.repeats is not None
        and run.places[one.record.repeats][0] == run.places[one.record.index][0]
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


def test_a_topic_that_is_not_there_is_named(
    run: Run, audit: Audit, monkeypatch: pytest.MonkeyPatch
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
