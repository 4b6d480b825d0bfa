"""The audit's reading of Kafka: the input topic and the output topics, read committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
from confluent_kafka import Message

from flows.audit_findings import Findings, Kind
from flows.audit_labels import INDEX_OF_BYTES, NO_LABEL, read_labels
from flows.audit_proof import Proof
from flows.audit_reader import Span, TopicReader
from flows.audit_records import (
    Answers,
    InputBuilder,
    InputTable,
    Uniques,
    digests,
    key_reader,
    number,
)
from flows.generate_kafka import LABEL
from flows.settings import Settings
from flows.wiring import kafka_access, output_topics
from operators.added_headers import VERDICT_HEADER, split_headers
from operators.batches import Hashes, Headers, Records
from operators.verdicts import UNIQUE, VERDICTS

_REASONS = ("dedup.matched", "dedup.reason")


def audit_kafka(
    settings: Settings,
    labels: Path | None = None,
    show: int = 5,
    *,
    patience_seconds: float = 10.0,
    ignore_timestamps: bool = False,
) -> Proof:
    """Audit what a job did on Kafka, up to the ends of the topics now.

    The job must have answered all input: stop the producers and wait, or audit
    after a run that ended.

    labels: a file of labels; without one, label headers are used if there are any.
    show: how many offenders of a kind are named.  patience_seconds: a transaction
    that is open now and still open after this long hangs.  ignore_timestamps: for
    output topics that stamp records themselves (message.timestamp.type=LogAppendTime).
    Returns the finished proof.  Raises SourceError or KafkaUnreachableError.
    """
    with closing(TopicReader(kafka_access(settings), timestamps=not ignore_timestamps)) as reader:
        topics = output_topics(settings).values()
        outputs = {code: topic for code, topic in enumerate(topics) if topic}
        changelog = f"{settings.app_id}-changelog"
        hanging = reader.settle([*outputs.values()], changelog, patience_seconds)
        # In this order, so that what the outputs answer is in the input that is read.
        spans = {code: reader.span(topic) for code, topic in outputs.items()}
        table = _read_input(reader, settings)
        if labels is not None:
            read_labels(labels, table)
        proof = Proof(
            settings,
            table,
            input_name=lambda partition, offset: f"{settings.input_topic}-{partition}-{offset}",
            output_name=lambda code, partition, offset: f"{outputs[code]}-{partition}-{offset}",
            dropped=frozenset(range(len(VERDICTS))) - outputs.keys(),
            findings=Findings(show),
        )
        proof.findings.add(Kind.HANGING, len(hanging), hanging)
        _note_deleted(proof, outputs, spans)
        for code, topic in outputs.items():
            for partition, messages in reader.read(topic, spans[code]):
                if code == UNIQUE:
                    proof.add_uniques(_uniques(reader, settings, partition, messages))
                else:
                    proof.add_answers(_answers(reader, settings, code, partition, messages))
    proof.finish()
    return proof


def _note_deleted(proof: Proof, outputs: Mapping[int, str], spans: Mapping[int, Span]) -> None:
    """Say what retention has taken away."""
    if count := proof.table.deleted:
        proof.notes.append(
            f"{count:,} offsets at the beginning of {proof.settings.input_topic} were deleted by "
            "retention: nothing can be said of these"
        )
    for code, topic in outputs.items():
        if count := sum(start for start, _ in spans[code].values()):
            proof.notes.append(
                f"{count:,} offsets at the beginning of {topic} were deleted by retention: their "
                "input records count as not answered"
            )


def _read_input(reader: TopicReader, settings: Settings) -> InputTable:
    topic = settings.input_topic
    builder = InputBuilder(key_reader(settings))
    span = reader.span(topic)
    for partition, (start, _) in span.items():
        builder.begin(partition, start)
        for _, messages in reader.read(topic, {partition: span[partition]}):
            headers = [_headers(message) for message in messages]
            records = Records(
                offsets=np.fromiter(map(Message.offset, messages), np.int64, len(messages)),
                values=list(map(Message.value, messages)),
                keys=list(map(Message.key, messages)),
                headers=headers if any(headers) else None,
                timestamps=np.array(_timestamps(messages), np.int64) if reader.timestamps else None,
            )
            builder.add(records, list(map(_label, headers)) if any(headers) else None)
    return builder.build()


def _headers(message: Message) -> Headers:
    # Consumed messages have lists; the stubs also allow what can be produced.
    return cast("Headers", message.headers())


def _timestamps(messages: Iterable[Message]) -> list[int]:
    return [message.timestamp()[1] for message in messages]


def _label(headers: Headers) -> int:
    for name, value in headers or ():
        if name == LABEL and value is not None:
            return INDEX_OF_BYTES.get(value, NO_LABEL)
    return NO_LABEL


def _reference(settings: Settings, added: Mapping[str, bytes | None]) -> tuple[int, int]:
    """Partition and offset of the input record that headers name; −1 where they do not."""
    if added.get("dedup.topic") != settings.input_topic.encode():
        return -1, -1
    return number(added.get("dedup.partition")), number(added.get("dedup.offset"))


def _digests(reader: TopicReader, messages: list[Message], headers: list[Headers]) -> Hashes:
    return digests(
        list(map(Message.value, messages)),
        map(Message.key, messages),
        headers,
        _timestamps(messages) if reader.timestamps else None,
    )


def _answers(
    reader: TopicReader, settings: Settings, code: int, partition: int, messages: list[Message]
) -> Answers:
    parts = [split_headers(_headers(message)) for message in messages]
    added = [headers for _, headers in parts]
    references = [_reference(settings, headers) for headers in added]
    return Answers(
        verdict=code,
        said=[_text(headers.get(VERDICT_HEADER)) for headers in added],
        partitions=np.array([place[0] for place in references], np.int64),
        offsets=np.array([place[1] for place in references], np.int64),
        digests=_digests(reader, messages, [own for own, _ in parts]),
        matched=[
            _text(next((headers[name] for name in _REASONS if name in headers), None))
            for headers in added
        ],
        originals=[_text(headers.get("dedup.original")) for headers in added],
        places=[(partition, message.offset() or 0) for message in messages],
    )


def _uniques(
    reader: TopicReader, settings: Settings, partition: int, messages: list[Message]
) -> Uniques:
    headers: list[Headers] = [_headers(message) for message in messages]
    uniques = Uniques(
        _digests(reader, messages, headers),
        np.full(len(messages), partition, np.int64),
        np.fromiter(map(Message.offset, messages), np.int64, len(messages)),
    )
    for at, (message, carried) in enumerate(zip(messages, headers, strict=True)):
        own, added = split_headers(carried)
        if added:
            digest = _digests(reader, [message], [own]).tobytes()
            uniques.marked[at] = *_reference(settings, added), digest
    return uniques


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")
