"""A job's topics on Kafka, made by hand from a labelled stream, for the audit to check."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_topics import input_partitions
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
# A header of the input records, which must come out again.
OWN: tuple[str, bytes | None] = ("trace", b"\x00\xff")

Header = tuple[str, str | bytes | None]
Audit = Callable[..., tuple[int, str]]
"""Runs `dedup audit` with these words, and returns its status and output."""


def verdict_of(record: Labelled) -> str:
    return record.label if record.label in VERDICTS else "unique"


def seconds_late() -> dict[int, float]:
    """How far behind the watermark each late record is, by the model."""
    model = Model(Settings(), range(PARTITIONS))
    now = time.time()
    seconds = {}
    for record in generate(STREAM):
        verdict = model.decide(Record(record.partition, record.index, None, record.value), now)
        if verdict.late_by is not None:
            seconds[record.index] = verdict.late_by
    return seconds


LATE_BY = seconds_late()


@dataclass
class Output:
    """An output record to write.  record: the input record that it answers."""

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
class KafkaRun:
    """A job's topics: the input is written, the outputs are lists that a test may change.

    places: index in the stream → partition and offset in the input topic.  topic_id: of the input.
    """

    bootstrap: str
    prefix: str
    outputs: dict[str, list[Output]] = field(default_factory=dict)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    topic_id: str = ""

    def topic(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = [NewTopic(self.topic(name), PARTITIONS) for name in ("input", *VERDICTS)]
        for created in admin.create_topics(topics).values():
            created.result(SECONDS)
        access = KafkaAccess(self.bootstrap, self.prefix)
        while not (partitions := input_partitions(access, admin, [self.topic("input")])):
            pass  # a new topic takes a moment until it is known
        self.topic_id = partitions[0].topic_id

    def write_input(self, producer: Producer) -> None:
        """Write the stream in a transaction after an aborted one, so that offsets have a gap."""
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
            ("dedup.topic.id", self.topic_id),
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


def tampered(run: KafkaRun, verdict: str, header: str, value: str) -> Output:
    """Change the value of a header of an output; return the output."""
    output = run.outputs[verdict][5]
    output.headers = [(name, value if name == header else text) for name, text in output.headers]
    return output
