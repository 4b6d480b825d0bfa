"""What a reader knows of an input partition, and to which share of the input it belongs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from connectors.kafka.input_watch import PartitionEnd
from connectors.kafka.read_errors import ReadErrors
from connectors.librdkafka.column_consumer import Place
from operators.batches import InputPartition, Span
from operators.errors import SourceError

SHARES: Final = 64
"""The input is cut into this many shares, whatever topics and partitions there are."""


def share_of(partition: InputPartition) -> int:
    """Return the share that a partition belongs to; partitions of a topic are spread evenly."""
    name = partition.topic_id or partition.topic
    return (crc32(name.encode()) + partition.partition) % SHARES


@dataclass(slots=True)
class Reading:
    """What a reader knows of a partition.

    next: offset of the next record.  emitted: offset up to which spans were emitted.
    last_data: when a record came last, by the wall clock; quiet_since: the same by the watch's
    clock.  stop_at: offset at which this run ends.  told: `idle` and `ended` of the last span.
    """

    partition: InputPartition
    next: int
    emitted: int
    last_data: float
    quiet_since: float
    errors: ReadErrors
    stop_at: int | None = None
    idle: bool = False
    ended: bool = False
    told: tuple[bool, bool] | None = None
    share: int = field(init=False)

    def __post_init__(self) -> None:
        """Find the share once: it is asked for often."""
        self.share = share_of(self.partition)

    @staticmethod
    def begin(
        partition: InputPartition, start: int, stop_at: int | None, now: float, quiet_since: float
    ) -> Reading:
        """Begin to read a partition at an offset."""
        return Reading(
            partition,
            next=start,
            emitted=start,
            last_data=now,
            quiet_since=quiet_since,
            errors=ReadErrors(partition.topic, partition.partition),
            stop_at=stop_at,
            ended=stop_at is not None and start >= stop_at,
        )

    @property
    def place(self) -> Place:
        """Topic and number."""
        return self.partition.topic, self.partition.partition

    def span(self, now: float) -> Span:
        """Make the span of all that was read since the last one."""
        span = Span(
            *(self.partition, self.emitted, self.next, now), idle=self.idle, ended=self.ended
        )
        self.emitted, self.told = self.next, (self.idle, self.ended)
        return span

    @property
    def has_news(self) -> bool:
        """Whether a span would say something new."""
        return self.emitted != self.next or self.told != (self.idle, self.ended)

    def stop(self, position: int) -> None:
        """End the partition if the client's position has reached the end of this run."""
        if self.stop_at is not None and position >= self.stop_at:
            self.next = max(self.next, self.stop_at)
            self.ended = True

    def find_idle(self, now: float, idle_seconds: float, end: PartitionEnd | None) -> None:
        """Find out whether all was read and nothing came for long.

        end: what is known of the partition's end; what was asked before the last record does not
        count, nor does an end of committed records before an open transaction.
        """
        self.last_data = min(self.last_data, now)  # the wall clock may step back
        self.idle = (
            now - self.last_data >= idle_seconds
            and end is not None
            and end.asked_at >= self.quiet_since
            and end.end <= self.next
        )

    def offset_is_gone(self, why: str) -> SourceError:
        """Make the error for a next offset that does not exist any more."""
        topic, _, partition = self.partition
        return SourceError(
            f"offset {self.next} of {topic}/{partition} cannot be read: {why}. If retention "
            "deleted records before they were read, they are lost to this job: lengthen retention; "
            "to go on with the remaining records, begin again with another DEDUP_APP_ID."
        )
