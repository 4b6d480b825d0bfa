"""Reads a whole topic, and shows on a terminal how far it is."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Message

from connectors.kafka.topic_reader import Span, TopicReader
from flows.cli.progress import Progress


def read_topic(reader: TopicReader, topic: str, span: Span) -> Iterator[tuple[int, list[Message]]]:
    """Yield the records of a span as `TopicReader.read` does."""
    total = sum(end - start for start, end in span.values())
    with Progress(f"reading {topic}", total) as progress:
        for partition, messages in reader.read(topic, span):
            progress.add(len(messages))
            yield partition, messages
