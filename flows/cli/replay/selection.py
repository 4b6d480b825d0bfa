"""Which records are replayed, as what, and never twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from operators.columns.header_table import Header, Headers
from operators.encode.headers import split_headers

REPLAYS_HEADER = "dedup.replays"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the input a record was read."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True)
class ReplayLog:
    """Records that were replayed: (to, topic, partition) → offsets."""

    _offsets: dict[tuple[str, str, int], set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, to: str, topic: str, partition: int, offsets: Iterable[int]) -> None:
        """Remember some of one partition."""
        self._offsets[to, topic, partition].update(offsets)

    def has(self, to: str, origin: Origin) -> bool:
        """Whether a record was replayed to a topic."""
        place = (to, origin.topic, origin.partition)
        return place in self._offsets and origin.offset in self._offsets[place]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record of an output topic, as it is read."""

    value: bytes | None
    key: bytes | None
    headers: Headers
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A record as it is written again: what it came with, and how often it was replayed."""

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
    """What is wanted; an empty one takes everything.

    reasons: of invalid records, or the combination that a duplicate matched.
    since, until: of the record's timestamp in [since, until), epoch seconds.
    max_replays: none that came from so many replays.
    """

    reasons: frozenset[str] = frozenset()
    keys: frozenset[bytes] = frozenset()
    since: float | None = None
    until: float | None = None
    max_replays: int | None = None

    def match(self, dead_letter: DeadLetter, added: dict[str, bytes | None], replays: int) -> bool:
        """Whether a record is wanted."""
        at = dead_letter.timestamp_ms / 1000.0
        reason = added.get("dedup.matched") or added.get("dedup.reason") or b""
        return (
            (not self.keys or dead_letter.key in self.keys)
            and (not self.reasons or reason.decode("utf-8", "replace") in self.reasons)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.max_replays is None or replays < self.max_replays)
        )


@dataclass(slots=True)
class Selection:
    """Picks from one output topic what is to be replayed, and counts why the rest is not.

    input_topic: records of other inputs are left alone.  to: where replays go.
    replayed: what was replayed before; what is picked is added, since an input
    record may have been answered twice (at least once).
    """

    input_topic: str
    to: str
    filters: Filters
    replayed: ReplayLog
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def pick(self, dead_letter: DeadLetter) -> Replay | None:
        """What is written again for a record; None if nothing."""
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
        self.replayed.add(self.to, origin.topic, origin.partition, [origin.offset])
        self.reasons[_reason(added)] += 1
        headers = _with_replays(own, replays + 1)
        return Replay(origin, dead_letter.value, dead_letter.key, headers, dead_letter.timestamp_ms)


def _origin(added: dict[str, bytes | None]) -> Origin | None:
    topic, partition, offset = (
        added.get(f"dedup.{name}") for name in ("topic", "partition", "offset")
    )
    if not (topic and partition and offset and partition.isdigit() and offset.isdigit()):
        return None
    return Origin(topic.decode("utf-8", "replace"), int(partition), int(offset))


def _replays(own: list[Header]) -> int:
    """How often a record was replayed, by the last header that says so."""
    counts = [value for name, value in own if name == REPLAYS_HEADER]
    return int(counts[-1]) if counts and counts[-1] and counts[-1].isdigit() else 0


def _with_replays(own: Iterable[Header], replays: int) -> list[Header]:
    headers = [header for header in own if header[0] != REPLAYS_HEADER]
    return [*headers, (REPLAYS_HEADER, b"%d" % replays)] if replays else headers


def before_replay(own: list[Header]) -> list[Header] | None:
    """Headers that a record had before it was replayed; None for one that was not."""
    replays = _replays(own)
    return _with_replays(own, replays - 1) if replays else None


def _reason(added: dict[str, bytes | None]) -> str:
    """For the summary; how late a record was is of no use there."""
    if (verdict := added.get("dedup.verdict")) == b"late":
        return "late"
    reason = added.get("dedup.matched") or added.get("dedup.reason") or verdict or b""
    return reason.decode("utf-8", "replace")
