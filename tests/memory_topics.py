"""Topics in memory for `dedup audit`: a stream and what the model, or the job, says of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE

from flows.cli.audit import kafka
from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
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
Headers = list[tuple[str, bytes | None]]


@dataclass
class Stored:
    """A record of a topic, as a consumer gives it."""

    record: Record
    place: int
    record_headers: Headers
    stamp_type: int = TIMESTAMP_CREATE_TIME

    def value(self) -> bytes | None:
        return self.record.value

    def key(self) -> bytes | None:
        return self.record.key

    def headers(self) -> Headers | None:
        return self.record_headers or None

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        stamp = self.record.timestamp_ms
        return (TIMESTAMP_NOT_AVAILABLE, -1) if stamp is None else (self.stamp_type, stamp)


@dataclass
class MemoryTopics:
    """Topics by name, each a list of records for each partition.

    closed: as a consumer, it reads nothing after `close`.
    """

    topics: dict[str, dict[int, list[Stored]]] = field(default_factory=dict)
    timestamps: bool = True
    starts: dict[int, int] = field(default_factory=dict)
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def settle(self, *_: object) -> list[str]:
        return []

    def span(self, topic: str) -> dict[int, tuple[int, int]]:
        starts = self.starts if topic == INPUT else {}
        return {
            partition: (starts.get(partition, 0), max([0, *(one.place + 1 for one in records)]))
            for partition, records in self.topics[topic].items()
        }

    def read(
        self, topic: str, span: Mapping[int, tuple[int, int]]
    ) -> Iterator[tuple[int, list[Stored]]]:
        for partition, (start, end) in span.items():
            if self.closed:
                msg = "Consumer closed"
                raise RuntimeError(msg)
            yield (
                partition,
                [one for one in self.topics[topic][partition] if start <= one.place < end],
            )


@dataclass
class Output:
    """An output record: which input it answers, in which output it lies, and its headers."""

    record: Record
    verdict: str
    headers: Headers


def outputs_of(settings: ModelSettings, answers: Sequence[tuple[Record, Verdict]]) -> list[Output]:
    """What the job writes for some verdicts."""
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
) -> Proof:
    """Audit outputs against input, neither of which is on a broker.

    stamp_type: of the input's timestamps.
    """
    topics = MemoryTopics(timestamps=not (options or AuditOptions()).ignore_timestamps)
    topics.topics[INPUT] = {partition: [] for partition in partitions}
    for record in records:
        stored = Stored(record, record.offset, list(record.headers or []), stamp_type)
        topics.topics[INPUT][record.partition].append(stored)
    for verdict, topic in TOPICS.items():
        mine = [one for one in outputs if one.verdict == verdict]
        topics.topics[topic] = {
            0: [Stored(one.record, at, list(one.headers)) for at, one in enumerate(mine)]
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "TopicReader", lambda *_, **__: topics)
        patch.setattr(kafka, "Message", Stored)
        return kafka.audit_kafka(settings, options or AuditOptions())
