"""Selects the records to replay, none of them twice, and restores their own headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from operators.columns.header_table import Header, Headers
from operators.encode.headers import split_headers

REPLAYS_HEADER = "dedup.replays"


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a record in the input.

    topic_id: Kafka's id of the topic, which another topic of the same name does not have.  Empty
    if the record does not say it: the brokers gave none, or an earlier version wrote it.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int


@dataclass(slots=True)
class ReplayLog:
    """Records that were replayed: (to, topic, partition) → the topic's id → offsets."""

    _offsets: dict[tuple[str, str, int], dict[str, set[int]]] = field(default_factory=dict)

    def add(
        self, to: str, topic: str, topic_id: str, partition: int, offsets: Iterable[int]
    ) -> None:
        """Remember offsets of one partition."""
        by_id = self._offsets.setdefault((to, topic, partition), {})
        by_id.setdefault(topic_id, set()).update(offsets)

    def has(self, to: str, origin: Origin) -> bool:
        """Whether a record was, or may have been, replayed to the topic `to`.

        Where one of the two topics has no id, they may be the same: no record is replayed twice.
        """
        by_id = self._offsets.get((to, origin.topic, origin.partition), {})
        return any(
            origin.offset in offsets
            for topic_id, offsets in by_id.items()
            if topic_id == origin.topic_id or not (topic_id and origin.topic_id)
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of an output topic, as it was read."""

    value: bytes | None
    key: bytes | None
    headers: Headers
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A record to write again: the input record, and a header with the number of its replays."""

    origin: Origin
    value: bytes | None
    key: bytes | None
    headers: list[Header]
    timestamp_ms: int

    @property
    def size(self) -> int:
        """Bytes of value and key."""
        return len(self.value or b"") + len(self.key or b"")


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions for a replay; without any, every record matches.

    reasons: reasons of invalid records, and combinations that duplicates matched.
    keys: record keys.  since, until: limits of the record's timestamp, epoch seconds,
    [since, until).  max_replays: records with this many replays do not match.
    """

    reasons: frozenset[str] = frozenset()
    keys: frozenset[bytes] = frozenset()
    since: float | None = None
    until: float | None = None
    max_replays: int | None = None

    def match(self, dead_letter: DeadLetter, added: dict[str, bytes | None], replays: int) -> bool:
        """Whether a record meets all conditions.

        added: the headers that the job added.  replays: how often it was replayed.
        """
        time = dead_letter.timestamp_ms / 1000.0
        reason = added.get("dedup.matched") or added.get("dedup.reason") or b""
        return (
            (not self.keys or dead_letter.key in self.keys)
            and (not self.reasons or reason.decode("utf-8", "replace") in self.reasons)
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
            and (self.max_replays is None or replays < self.max_replays)
        )


@dataclass(slots=True)
class Selection:
    """Picks the records to replay from one output topic, and counts the others by reason.

    input_topic: records from other input topics are left alone.  to: topic to write to.
    replayed: records that were replayed before.  Picked records are added to it: with
    at_least_once, an output may hold two answers to one input record.
    """

    input_topic: str
    to: str
    filters: Filters
    replayed: ReplayLog
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def pick(self, dead_letter: DeadLetter) -> Replay | None:
        """Make the replay of a record; None if it is not to be replayed."""
        self.counts["read"] += 1
        own, added = split_headers(dead_letter.headers)
        origin = _origin(added)
        if origin is None or origin.topic != self.input_topic:
            self.counts["foreign"] += 1
            return None
        replays = _replays(own)
        if not self.filters.match(dead_letter, added, replays):
            self.counts["unwanted"] += 1
            return None
        if self.replayed.has(self.to, origin):
            self.counts["before"] += 1
            return None
        self.counts["picked"] += 1
        self.replayed.add(self.to, origin.topic, origin.topic_id, origin.partition, [origin.offset])
        self.reasons[_reason(added)] += 1
        headers = _with_replays(own, replays + 1)
        return Replay(origin, dead_letter.value, dead_letter.key, headers, dead_letter.timestamp_ms)


def _origin(added: dict[str, bytes | None]) -> Origin | None:
    topic, partition, offset = (
        added.get(f"dedup.{name}") for name in ("topic", "partition", "offset")
    )
    if not (topic and partition and offset and partition.isdigit() and offset.isdigit()):
        return None
    topic_id = added.get("dedup.topic.id") or b""
    return Origin(
        topic.decode("utf-8", "replace"),
        topic_id.decode("utf-8", "replace"),
        int(partition),
        int(offset),
    )


def _replays(own: list[Header]) -> int:
    """How often a record was replayed, from the last header with the count."""
    counts = [value for name, value in own if name == REPLAYS_HEADER]
    return int(counts[-1]) if counts and counts[-1] and counts[-1].isdigit() else 0


def _with_replays(own: Iterable[Header], replays: int) -> list[Header]:
    headers = [header for header in own if header[0] != REPLAYS_HEADER]
    return [*headers, (REPLAYS_HEADER, b"%d" % replays)] if replays else headers


def before_replay(own: list[Header]) -> list[Header] | None:
    """Headers of a record before its last replay; None if it was never replayed."""
    replays = _replays(own)
    return _with_replays(own, replays - 1) if replays else None


def _reason(added: dict[str, bytes | None]) -> str:
    """Reason for the summary, which leaves out how late each late record was."""
    if (verdict := added.get("dedup.verdict")) == b"late":
        return "late"
    reason = added.get("dedup.matched") or added.get("dedup.reason") or verdict or b""
    return reason.decode("utf-8", "replace")
