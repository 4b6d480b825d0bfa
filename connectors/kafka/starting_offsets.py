"""Where reading begins: at the ends of the input, or where all lanes have come to."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.access import KafkaAccess
from connectors.kafka.offsets import ask_all_offsets
from connectors.kafka.requests import REQUEST_SECONDS, retrying
from operators.batches import InputPartition
from operators.errors import StateError

log = logging.getLogger("dedup.source")

Start = Literal["earliest", "latest"]
_FIRST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class InputOffsets:
    """The input partitions at the start, and where reading begins in each.

    use_snapshots: whether an offset in a recovery snapshot comes first; with a changelog it does
    not, since only the changelog says what was answered.  new: partitions that appeared after the
    application had begun.
    """

    starts: Mapping[InputPartition, int]
    use_snapshots: bool
    new: Collection[InputPartition] = ()

    @property
    def partitions(self) -> list[InputPartition]:
        """All input partitions, sorted."""
        return sorted(self.starts)


def offsets_to_begin(
    access: KafkaAccess, partitions: Collection[InputPartition], start: Start
) -> dict[InputPartition, int]:
    """Return where a new application begins.  Raises KafkaUnreachableError."""
    if start == "latest":
        return ends_of(access, partitions, IsolationLevel.READ_COMMITTED)
    return firsts_of(access, partitions)


def answered_by_all(
    access: KafkaAccess,
    partitions: Collection[InputPartition],
    lanes: Sequence[Mapping[InputPartition, int]],
) -> InputOffsets:
    """Return the offset up to which all lanes have answered each partition.

    A partition that a lane does not know appeared after the application had begun: it begins at
    its first record (rule 5 of connectors/exactly_once).  lanes: for each lane the next offset of
    each partition.  Raises KafkaUnreachableError.
    """
    _check_ids(partitions, lanes)
    starts = {}
    for partition in partitions:
        offsets = [positions.get(partition) for positions in lanes]
        known = [offset for offset in offsets if offset is not None]
        if known and len(known) == len(offsets):
            starts[partition] = min(known)
    new = [partition for partition in partitions if partition not in starts]
    return InputOffsets(starts | firsts_of(access, new), use_snapshots=False, new=new)


def _check_ids(
    partitions: Collection[InputPartition], lanes: Sequence[Mapping[InputPartition, int]]
) -> None:
    """Raise StateError if brokers give topics ids now and gave none before, or the other way.

    Nobody could say whether it is the same topic.
    """
    known = {(one.topic, bool(one.topic_id)) for positions in lanes for one in positions}
    for topic, topic_id, _ in partitions:
        if (topic, bool(topic_id)) not in known and (topic, not topic_id) in known:
            msg = (
                f"topic {topic} was read from brokers that {'gave no' if topic_id else 'give'} "
                f"topic ids, and these {'do' if topic_id else 'do not'} (Kafka has them since "
                "2.8): it is not known where to go on. Choose another DEDUP_APP_ID"
            )
            raise StateError(msg)


def firsts_of(
    access: KafkaAccess, partitions: Collection[InputPartition]
) -> dict[InputPartition, int]:
    """Return the first offset of each partition.  Raises KafkaUnreachableError."""
    return _ask(access, partitions, _FIRST, IsolationLevel.READ_UNCOMMITTED)


def ends_of(
    access: KafkaAccess, partitions: Collection[InputPartition], level: IsolationLevel
) -> dict[InputPartition, int]:
    """Return the end of each partition, for readers of a level.  Raises KafkaUnreachableError."""
    return _ask(access, partitions, _LATEST, level)


@dataclass(frozen=True, slots=True)
class RunEnds:
    """Where a run ends that stops at the end of its input.

    stops: for each partition, the end of what a `read_committed` reader gets.  left: of those
    where a transaction was open, the end of all records.
    """

    stops: Mapping[InputPartition, int] = field(default_factory=dict)
    left: Mapping[InputPartition, int] = field(default_factory=dict)

    @staticmethod
    def ask(access: KafkaAccess, partitions: Collection[InputPartition]) -> RunEnds:
        """Ask the brokers.  Raises KafkaUnreachableError."""
        # In this order: what is committed in between does not look open.
        ends = ends_of(access, partitions, IsolationLevel.READ_UNCOMMITTED)
        stops = ends_of(access, partitions, IsolationLevel.READ_COMMITTED)
        return RunEnds(stops, {one: end for one, end in ends.items() if end > stops[one]})

    def tell_left(self, read: Collection[InputPartition]) -> None:
        """Log which records of these partitions were left to the next run."""
        for partition in sorted(self.left.keys() & set(read)):
            stop = self.stops[partition]
            log.warning(
                "%s/%d was read up to offset %d: a writer's transaction was open there when this "
                "run began. The next run goes on there; at most %d records were left to it",
                partition.topic,
                partition.partition,
                stop,
                self.left[partition] - stop,
            )


def _ask(
    access: KafkaAccess,
    partitions: Collection[InputPartition],
    which: OffsetSpec,
    level: IsolationLevel,
) -> dict[InputPartition, int]:
    if not partitions:
        return {}
    admin: AdminClient = access.admin()
    # A request for offsets that meets the brokers' first answer is never sent again
    # (docs/adr/0002).
    retrying(access, lambda: admin.list_topics(timeout=REQUEST_SECONDS))
    places = [TopicPartition(topic, number) for topic, _, number in partitions]

    offsets = ask_all_offsets(access, admin, places, which, level, seconds=REQUEST_SECONDS)
    return {partition: offsets[place] for partition, place in zip(partitions, places, strict=True)}
