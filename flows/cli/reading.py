"""Reads a whole topic, and shows the progress on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Message

from connectors.kafka.topic_reader import OffsetRanges, TopicReader
from flows.cli.progress import Progress


def read_topic(
    reader: TopicReader, topic: str, ranges: OffsetRanges
) -> Iterator[tuple[int, list[Message]]]:
    """Yield the records of these offsets, as `TopicReader.read` does."""
    total = sum(end - start for start, end in ranges.values())
    with Progress(f"reading {topic}", total) as progress:
        for partition, messages in reader.read(topic, ranges):
            progress.add(len(messages))
            yield partition, messages
