"""Windowed statistics as JSON records: to a topic, or to `stats.jsonl`."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import numpy as np
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.at_least_once.producer import DeliveringProducer
from connectors.files.recoverable_files import Lengths, OutputFiles, WrittenFiles
from connectors.kafka.access import KafkaAccess
from connectors.shutdown import one_line_errors
from operators.batches import Records
from operators.statistics.summarize import Statistic

log = logging.getLogger("dedup.statistics")

_PARTITION = "statistics"
_FILE = "stats.jsonl"
_MARKER = ".stats-begun-with"


class _TopicPartition(StatefulSinkPartition[Statistic, None]):
    """All statistics, through one producer."""

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        self._topic = topic
        self._producer = DeliveringProducer(access, "statistics", log)

    @one_line_errors
    def write_batch(self, values: list[Statistic]) -> None:
        """Produce some; raise SinkError if an earlier one was refused."""
        records = Records(
            offsets=np.zeros(len(values), np.int64),
            values=[msgspec.json.encode(value) for value in values],
            # One event type, one partition: its windows come in order.
            keys=[value.event_type.encode() for value in values],
        )
        self._producer.produce(self._topic, records)
        self._producer.check()

    @one_line_errors
    def snapshot(self) -> None:
        """At the end of an epoch everything must be with the brokers."""
        self._producer.flush()

    @one_line_errors
    def close(self) -> None:
        """Deliver what is left."""
        self._producer.flush()


class _FilePartition(StatefulSinkPartition[Statistic, WrittenFiles | Lengths]):
    """All statistics, in one file."""

    def __init__(
        self, folder: Path, recovery: str | None, resume: WrittenFiles | Lengths | None
    ) -> None:
        self._files = OutputFiles(folder, (_FILE,), _MARKER, recovery, resume)

    @one_line_errors
    def write_batch(self, values: list[Statistic]) -> None:
        """Append a line for each."""
        self._files.write(_FILE, b"".join(msgspec.json.encode(value) + b"\n" for value in values))

    @one_line_errors
    def snapshot(self) -> WrittenFiles:
        """Describe the file, once what it holds is on the disk."""
        return self._files.snapshot()

    def close(self) -> None:
        """Close the file."""
        self._files.close()


class StatsSink(FixedPartitionedSink[Statistic, None]):
    """Writes statistics to a topic, at least once: after a crash some may come again.

    The record key is the event type.
    """

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        """topic: exists."""
        self._access = access
        self._topic = topic

    def list_parts(self) -> list[str]:
        """One partition: there is little to write."""
        return [_PARTITION]

    def part_fn(self, item_key: str) -> int:
        """Everything goes to it."""
        del item_key
        return 0

    @one_line_errors
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _TopicPartition:
        """Open the producer."""
        del step_id, for_part, resume_state
        return _TopicPartition(self._access, self._topic)


class StatsLinesSink(FixedPartitionedSink[Statistic, WrittenFiles | Lengths]):
    """Writes `stats.jsonl`; with recovery it is cut back to the snapshot's length."""

    def __init__(self, folder: Path, recovery: str | None) -> None:
        """folder: made if it is not there.

        recovery: what tells the recovery directory from any other, None without.
        """
        self._folder = folder
        self._recovery = recovery

    def list_parts(self) -> list[str]:
        """One partition, one file."""
        return [_PARTITION]

    def part_fn(self, item_key: str) -> int:
        """Everything goes to it."""
        del item_key
        return 0

    @one_line_errors
    def build_part(
        self, step_id: str, for_part: str, resume_state: WrittenFiles | Lengths | None
    ) -> _FilePartition:
        """Open the file."""
        del step_id, for_part
        return _FilePartition(self._folder, self._recovery, resume_state)
