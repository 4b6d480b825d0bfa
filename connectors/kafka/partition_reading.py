"""What a reader knows of an input partition, and to which share of the input it belongs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from connectors.kafka.offsets import PartitionEnd
from connectors.kafka.read_errors import ReadErrors
from connectors.librdkafka.column_consumer import Place
from operators.batches import InputPartition, Span
from operators.errors import SourceError
from operators.monitoring.observer import InputStatus

SHARES: Final = 64
"""The input is cut into this many shares, whatever topics and partitions there are."""

FRESH_SECONDS: Final = 30.0
"""After this long without an answer, nothing is known about a partition."""

# Late records of a partition that the job finds are counted up to the end that it had then, but
# no longer: a long history must not keep the operator waiting for the line.
_HISTORY_SECONDS: Final = 60.0


def share_of(partition: InputPartition) -> int:
    """Return the share that a partition belongs to; partitions of a topic are spread evenly."""
    name = partition.topic_id or partition.topic
    return (crc32(name.encode()) + partition.partition) % SHARES


@dataclass(slots=True)
class Reading:
    """What a reader knows of a partition.

    next: offset of the next record.  emitted: offset up to which spans were emitted.
    last_data: when a record came last, by the wall clock; quiet_since: the same by the watch's
    clock.  stop_at: offset at which this run ends.  history_end: as in `Span`; history_until: when
    it ends at the latest, by the wall clock.  told: `idle` and `ended` of the last span.
    """

    partition: InputPartition
    next: int
    emitted: int
    last_data: float
    quiet_since: float
    errors: ReadErrors
    stop_at: int | None = None
    history_end: int | None = None
    history_until: float = 0.0
    idle: bool = False
    ended: bool = False
    told: tuple[bool, bool] | None = None
    share: int = field(init=False)

    def __post_init__(self) -> None:
        """Find the share once: it is asked for often."""
        self.share = share_of(self.partition)

    @staticmethod
    def begin(  # noqa: PLR0913 - what is known of a partition
        partition: InputPartition,
        start: int,
        *,
        stop_at: int | None,
        history_end: int | None,
        now: float,
        quiet_since: float,
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
            history_end=history_end if history_end is not None and start < history_end else None,
            history_until=now + _HISTORY_SECONDS,
            ended=stop_at is not None and start >= stop_at,
        )

    @property
    def place(self) -> Place:
        """Topic and number."""
        return self.partition.topic, self.partition.partition

    def span(self, now: float) -> Span:
        """Make the span of all that was read since the last one."""
        history_end = self.history_end
        if history_end is not None:
            if now >= self.history_until:
                history_end = min(history_end, self.next)
            self.history_end = None if self.next >= history_end else history_end
        span = Span(
            *(self.partition, self.emitted, self.next, now),
            idle=self.idle,
            ended=self.ended,
            history_end=history_end,
        )
        self.emitted, self.told = self.next, (self.idle, self.ended)
        return span

    def gone_span(self, now: float) -> Span:
        """Make the span that says that the topic was deleted."""
        history_end = None if self.history_end is None else self.emitted
        return Span(
            *(self.partition, self.emitted, self.emitted, now), gone=True, history_end=history_end
        )

    def status(self, now: float, known_end: int, asked: PartitionEnd | None) -> InputStatus:
        """Return how far the partition was read, as far as that is known.

        now: by the watch's clock.  known_end: of the client's last fetch response, below 0 before
        the first.  asked: what the watch knows of the end.
        """
        if self.ended:  # nobody asks for its end any more
            return InputStatus(0, "idle")
        end = -1
        if now - self.quiet_since < FRESH_SECONDS:
            end = known_end
        elif asked is not None:
            end = asked.end
        if end < 0 and not self.idle:
            return InputStatus(None, "unreachable")
        return InputStatus(max(end - self.next, 0), "idle" if self.idle else "read")

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
