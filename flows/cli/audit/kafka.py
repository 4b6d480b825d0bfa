"""Audits a run on Kafka: reads the input topic and the output topics, `read_committed`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from connectors.kafka.access import KafkaAccess
from connectors.kafka.topic_reader import OffsetRanges, TopicReader
from flows.assembly.specs import kafka_access, output_topics
from flows.cli.audit.answer_fields import finite
from flows.cli.audit.decoding import input_decoder
from flows.cli.audit.earlier_topics import ORIGINAL_TOPIC_HEADER, InputTopic, were_read
from flows.cli.audit.findings import Findings, Kind
from flows.cli.audit.headers import NUMBERS, REASONS, first_of, missing_headers, reference, text
from flows.cli.audit.labels import INDEX_OF_BYTES, NO_LABEL, read_labels
from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
from flows.cli.audit.rules import Rules
from flows.cli.audit.table import (
    AnswerChunk,
    InputBuilder,
    InputTable,
    UniqueChunk,
    digests,
)
from flows.cli.generate.options import LABEL
from flows.cli.reading import read_topic
from flows.cli.replay.selection import before_replay
from flows.settings.model import Settings
from operators.batches import Records
from operators.columns.arrays import Hashes, Ints
from operators.columns.header_table import Headers
from operators.encode.headers import VERDICT_HEADER, split_headers
from operators.errors import StateError
from operators.verdicts import UNIQUE, VERDICTS


@dataclass(frozen=True, slots=True)
class _Output:
    """Records of an output.  code: of its verdict.  partition: that they are in."""

    code: int
    partition: int
    messages: list[Message]


def audit_kafka(settings: Settings, options: AuditOptions) -> Proof:
    """Audit a job's work on Kafka, up to the current ends of the topics.

    The job must have answered all input: stop the producers and wait, or audit after the
    job has ended.  Without a file of labels, the records' label headers are used.
    Returns the finished proof.  Raises SourceError or KafkaUnreachableError.
    """
    stamped = not options.ignore_timestamps
    access = kafka_access(settings)
    with closing(TopicReader(access, timestamps=stamped)) as reader:
        topics = output_topics(settings).values()
        outputs = {code: topic for code, topic in enumerate(topics) if topic}
        changelog = f"{settings.app_id}-changelog"
        hanging = reader.settle([*outputs.values()], changelog, options.patience_seconds)
        # The outputs' ends come before the input's, so that the input has all answered records.
        ranges = {code: reader.offset_ranges(topic) for code, topic in outputs.items()}
        topic = InputTopic(settings.input_topic, reader.topic_id(settings.input_topic))
        table = _read_input(reader, settings)
        if options.labels is not None:
            read_labels(options.labels, table)
        proof = Proof(
            settings,
            table,
            input_name=lambda partition, offset: f"{settings.input_topic}-{partition}-{offset}",
            output_name=lambda code, partition, offset: f"{outputs[code]}-{partition}-{offset}",
            rules=Rules(
                settings,
                options.lateness_of(settings),
                time.time(),
                lambda rows: _read_again(reader, settings.input_topic, table, rows),
            ),
            dropped=frozenset(range(len(VERDICTS))) - outputs.keys(),
            findings=Findings(options.show),
        )
        if reader.has(changelog):
            _ask_changelog(proof, access, len(reader.offset_ranges(changelog)), topic)
        proof.findings.add(Kind.HANGING, len(hanging), hanging)
        _note_deleted(proof, outputs, ranges)
        for code, output in outputs.items():
            for partition, messages in read_topic(reader, output, ranges[code]):
                if code == UNIQUE:
                    proof.add_uniques(_uniques(reader, topic, partition, messages))
                else:
                    place = _Output(code, partition, messages)
                    proof.add_answers(_answers(reader, settings, topic, place))
        # While the reader is open: near duplicates are read again.
        proof.finish()
    return proof


def _ask_changelog(proof: Proof, access: KafkaAccess, lanes: int, topic: InputTopic) -> None:
    """Note whether the job has read earlier topics, which all of its answers may be silent about.

    lanes: number of the changelog's partitions.
    """
    try:
        proof.earlier.was_read = were_read(access, lanes, topic)
    except StateError as error:
        proof.notes.append(f"whether there was an earlier topic {topic.name} is not known: {error}")


def _note_deleted(
    proof: Proof, outputs: Mapping[int, str], ranges: Mapping[int, OffsetRanges]
) -> None:
    """Note the offsets that retention deleted."""
    if count := proof.table.deleted:
        proof.notes.append(
            f"{count:,} offsets at the beginning of {proof.settings.input_topic} were deleted by "
            "retention: nothing can be said about these"
        )
    for code, topic in outputs.items():
        if count := sum(start for start, _ in ranges[code].values()):
            proof.notes.append(
                f"{count:,} offsets at the beginning of {topic} were deleted by retention: their "
                "input records count as not answered"
            )


def _read_input(reader: TopicReader, settings: Settings) -> InputTable:
    topic = settings.input_topic
    builder = InputBuilder(input_decoder(settings))
    ranges = reader.offset_ranges(topic)
    for partition, (start, _) in ranges.items():
        builder.begin(partition, start)
        for _, messages in read_topic(reader, topic, {partition: ranges[partition]}):
            records = _records(messages)
            builder.add(
                records,
                None if records.headers is None else list(map(_label, records.headers)),
                appended_ms=np.array([_appended_ms(message) for message in messages], np.int64),
                stamped=reader.timestamps,
            )
    return builder.build()


def _records(messages: Sequence[Message]) -> Records:
    headers = [_headers(message) for message in messages]
    return Records(
        offsets=np.fromiter(map(Message.offset, messages), np.int64, len(messages)),
        values=list(map(Message.value, messages)),
        keys=list(map(Message.key, messages)),
        headers=headers if any(headers) else None,
        timestamps=np.array(_timestamps(messages), np.int64),
    )


def _appended_ms(message: Message) -> int:
    """Time at which the broker appended a record; 0 if the producer set the timestamp."""
    kind, stamp = message.timestamp()
    return stamp if kind == TIMESTAMP_LOG_APPEND_TIME else 0


def _read_again(
    reader: TopicReader, topic: str, table: InputTable, rows: Ints
) -> Iterator[tuple[Ints, Records]]:
    """Read input records a second time.  rows: ascending."""
    for partition, (first, last) in table.ranges.items():
        here = rows[(rows >= first) & (rows < last)]
        if not len(here):
            continue
        sought = table.offsets[here]
        ranges = {partition: (int(sought[0]), int(sought[-1]) + 1)}
        for _, messages in read_topic(reader, topic, ranges):
            offsets = np.fromiter(map(Message.offset, messages), np.int64, len(messages))
            positions = np.flatnonzero(np.isin(offsets, sought)).tolist()
            records = _records([messages[at] for at in positions])
            yield here[np.searchsorted(sought, records.offsets)], records


def _headers(message: Message) -> Headers:
    # A consumed message's headers are a list; the stubs also allow the producers' types.
    return cast("Headers", message.headers())


def _timestamps(messages: Iterable[Message]) -> list[int]:
    return [message.timestamp()[1] for message in messages]


def _label(headers: Headers) -> int:
    for name, value in headers or ():
        if name == LABEL and value is not None:
            return INDEX_OF_BYTES.get(value, NO_LABEL)
    return NO_LABEL


def _digests(reader: TopicReader, messages: list[Message], headers: list[Headers]) -> Hashes:
    return digests(
        list(map(Message.value, messages)),
        map(Message.key, messages),
        headers,
        _timestamps(messages) if reader.timestamps else None,
    )


def _answers(
    reader: TopicReader, settings: Settings, topic: InputTopic, output: _Output
) -> AnswerChunk:
    split = [(message, *split_headers(_headers(message))) for message in output.messages]
    current = [answer for answer in split if not topic.is_earlier(answer[2])]
    messages = [message for message, _, _ in current]
    own: list[Headers] = [headers for _, headers, _ in current]
    added = [headers for _, _, headers in current]
    references = [reference(topic, headers) for headers in added]
    why = [text(first_of(headers, REASONS)) for headers in added]
    originals = [text(headers.get("dedup.original")) for headers in added]
    numbers = [finite(text(first_of(headers, NUMBERS))) for headers in added]
    topics = [text(headers.get(ORIGINAL_TOPIC_HEADER)) for headers in added]
    return AnswerChunk(
        verdict=output.code,
        stated_verdicts=[text(headers.get(VERDICT_HEADER)) for headers in added],
        partitions=np.array([partition for partition, _ in references], np.int64),
        offsets=np.array([offset for _, offset in references], np.int64),
        digests=_digests(reader, messages, own),
        matched=why,
        originals=[
            "" if elsewhere else original
            for original, elsewhere in zip(originals, topics, strict=True)
        ],
        numbers=np.array(numbers, np.float64),
        missing=missing_headers(settings, topic, added, references, (why, originals, numbers)),
        places=[(output.partition, message.offset() or 0) for message in messages],
        earlier=len(split) - len(current),
        original_topics=topics,
    )


def _uniques(
    reader: TopicReader, topic: InputTopic, partition: int, messages: list[Message]
) -> UniqueChunk:
    headers: list[Headers] = [_headers(message) for message in messages]
    uniques = UniqueChunk(
        _digests(reader, messages, headers),
        np.full(len(messages), partition, np.int64),
        np.fromiter(map(Message.offset, messages), np.int64, len(messages)),
    )
    for at, (message, every) in enumerate(zip(messages, headers, strict=True)):
        own, added = split_headers(every)
        if added and not topic.is_earlier(added):
            digest = _digests(reader, [message], [own]).tobytes()
            uniques.marked[at] = *reference(topic, added), digest
        # From all headers: an input record may have had headers like those of an answer.
        if (before := before_replay(list(every or ()))) is not None:
            uniques.replayed[at] = _digests(reader, [message], [before]).tobytes()
    return uniques
