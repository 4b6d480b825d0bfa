"""Topics in memory for `dedup audit`: a stream, and the outputs of the model or of the job."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE

from flows.cli.audit import kafka
from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
from flows.settings.load import load_settings
from flows.settings.model import Settings
from tests.model import Free, Record, Verdict, output_headers
from tests.model import Settings as ModelSettings

INPUT = "raw-events"
TOPICS = {
    "unique": "deduplicated-events",
    "duplicate": "duplicates-dlq",
    "late": "late-events",
    "invalid": "invalid-events",
}
NOW = float(int(time.time()))
FUTURE = Verdict("invalid", reason="future")
UNIQUE = Verdict("unique")

Headers = list[tuple[str, bytes | None]]
Answer = tuple[Record, Verdict]


@dataclass
class Stored:
    """A record of a topic, as a consumer gives it.  position: its offset in that topic."""

    record: Record
    position: int
    record_headers: Headers
    stamp_type: int = TIMESTAMP_CREATE_TIME

    def value(self) -> bytes | None:
        return self.record.value

    def key(self) -> bytes | None:
        return self.record.key

    def headers(self) -> Headers | None:
        return self.record_headers or None

    def offset(self) -> int:
        return self.position

    def timestamp(self) -> tuple[int, int]:
        stamp = self.record.timestamp_ms
        return (TIMESTAMP_NOT_AVAILABLE, -1) if stamp is None else (self.stamp_type, stamp)


@dataclass
class MemoryTopics:
    """Topics by name, each a list of records for each partition; stands in for a `TopicReader`.

    closed: like a consumer, it reads nothing after `close`.  input_id: Kafka's id of the input.
    """

    topics: dict[str, dict[int, list[Stored]]] = field(default_factory=dict)
    timestamps: bool = True
    starts: dict[int, int] = field(default_factory=dict)
    closed: bool = False
    input_id: str = ""

    def close(self) -> None:
        self.closed = True

    def has(self, topic: str) -> bool:
        return topic in self.topics

    def topic_id(self, _: str) -> str:
        return self.input_id

    def settle(self, *_: object) -> list[str]:
        return []

    def offset_ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        starts = self.starts if topic == INPUT else {}
        return {
            partition: (
                starts.get(partition, 0),
                max([0, *(record.position + 1 for record in records)]),
            )
            for partition, records in self.topics[topic].items()
        }

    def read(
        self, topic: str, ranges: Mapping[int, tuple[int, int]]
    ) -> Iterator[tuple[int, list[Stored]]]:
        for partition, (start, end) in ranges.items():
            if self.closed:
                msg = "Consumer closed"
                raise RuntimeError(msg)
            records = self.topics[topic][partition]
            yield partition, [record for record in records if start <= record.position < end]


@dataclass
class Output:
    """An output record: the input that it answers, the verdict of its output, its headers."""

    record: Record
    verdict: str
    headers: Headers


def outputs_of(settings: ModelSettings, answers: Sequence[Answer]) -> list[Output]:
    """Make the outputs that the job writes for these verdicts."""
    return [
        Output(record, verdict.kind, headers_of(settings, record, verdict))
        for record, verdict in answers
    ]


def headers_of(settings: ModelSettings, record: Record, verdict: Verdict) -> Headers:
    """All headers of an output record."""
    headers = output_headers(record, verdict, settings, INPUT)
    return [(name, b"words" if isinstance(value, Free) else value) for name, value in headers]


def audit_in_memory(
    settings: Settings,
    partitions: Sequence[int],
    records: Sequence[Record],
    outputs: Sequence[Output],
    options: AuditOptions | None = None,
    *,
    stamp_type: int = TIMESTAMP_CREATE_TIME,
    input_id: str = "",
) -> Proof:
    """Audit outputs against input, without a broker.

    stamp_type: of the input's timestamps.  input_id: Kafka's id of the input topic.
    """
    stamped = not (options or AuditOptions()).ignore_timestamps
    topics = MemoryTopics(timestamps=stamped, input_id=input_id)
    topics.topics[INPUT] = {partition: [] for partition in partitions}
    for record in records:
        stored = Stored(record, record.offset, list(record.headers or []), stamp_type)
        topics.topics[INPUT][record.partition].append(stored)
    for verdict, topic in TOPICS.items():
        of_verdict = [output for output in outputs if output.verdict == verdict]
        topics.topics[topic] = {
            0: [
                Stored(output.record, offset, list(output.headers))
                for offset, output in enumerate(of_verdict)
            ]
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "TopicReader", lambda *_, **__: topics)
        patch.setattr(kafka, "Message", Stored)
        return kafka.audit_kafka(settings, options or AuditOptions())


def event_record(offset: int, at: float, event_id: str = "", partition: int = 0) -> Record:
    """An event with a time, in a record that was made now."""
    event = {
        "event_id": event_id or f"{partition}-{offset}",
        "user_id": "u",
        "event_type": "t",
        "timestamp": at,
        "data": {},
    }
    return Record(partition, offset, None, json.dumps(event).encode(), None, int(NOW * 1000))


def audit_answers(
    answers: Sequence[Answer],
    *,
    partitions: int = 1,
    lateness: Sequence[float] = (),
    stamp_type: int = TIMESTAMP_CREATE_TIME,
    variables: Mapping[str, str] | None = None,
) -> Proof:
    """Audit a job that gave these verdicts.

    lateness: other values of the allowed lateness.  variables: the job's settings.
    """
    settings = load_settings({"DEDUP_BROKERS": "localhost:1", **(variables or {})})
    outputs = outputs_of(ModelSettings(), answers)
    for output in outputs:
        names = dict(output.headers)
        # A Bloom filter gives no original, and marks the duplicate.
        if "dedup.matched" in names and "dedup.original" not in names:
            output.headers.append(("dedup.probable", b"true"))
    return audit_in_memory(
        settings,
        range(partitions),
        [record for record, _ in answers],
        outputs,
        AuditOptions(lateness=lateness),
        stamp_type=stamp_type,
    )


def ids_of_lanes() -> tuple[str, str, str]:
    """Three event ids: two in one lane, and one in another."""
    ids = [str(number) for number in range(20)]
    answers = [(event_record(int(id_), NOW, id_), UNIQUE) for id_ in ids]
    lanes = audit_answers(answers).table.lanes
    first = [id_ for id_ in ids if lanes[int(id_)] == lanes[0]]
    return first[0], first[1], next(id_ for id_ in ids if id_ not in first)
