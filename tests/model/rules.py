"""The four verdicts, rule by rule."""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from tests.model.reading import Event, read
from tests.model.records import Record, Settings, Verdict
from tests.model.similarity import similarity


@dataclass(frozen=True)
class _Unique:
    place: tuple[int, int]
    event: Event


@dataclass(frozen=True)
class _Session:
    """Of one combination's key: began is the number of the first unique record in it."""

    key: Hashable
    shard: Hashable
    smallest: float
    largest: float
    began: int


class Model:
    """Decides records one by one, in the order they are given, and never forgets a unique one.

    partitions: those of the input; more may be added to the set between two records.
    """

    def __init__(self, settings: Settings, partitions: Iterable[int]) -> None:
        """Begin with nothing seen."""
        self.settings = settings
        self.partitions = set(partitions)
        self.watermark: float | None = None
        self.largest: dict[int, float] = {}
        self.unique: list[_Unique] = []
        self.sessions: list[list[_Session]] = [[] for _ in settings.keys]

    def decide(self, record: Record, now: float, idle: frozenset[int] = frozenset()) -> Verdict:
        """Return the verdict on the next record.

        now: wall clock in epoch seconds.  idle: partitions without data for so long that they no
        longer hold the watermark back; the record's own is not idle, whatever is given.
        Raises ValueError for a partition that is not the input's.
        """
        if record.partition not in self.partitions:
            message = f"partition {record.partition} is not one of {sorted(self.partitions)}"
            raise ValueError(message)
        idle -= {record.partition}
        self.observe(idle)
        event = read(record, self.settings, now)
        if isinstance(event, str):
            return Verdict("invalid", reason=event)
        verdict = (
            self._late(event) or self._duplicate(event) or self._near(event) or Verdict("unique")
        )
        if verdict.kind == "unique":
            self._remember(record, event)
        # Only now: the watermark counts what was seen before a record.
        before = self.largest.get(record.partition, -math.inf)
        self.largest[record.partition] = max(event.time, before)
        self.observe(idle)
        return verdict

    def observe(self, idle: frozenset[int] = frozenset()) -> None:
        """Move the watermark on, as when partitions turn idle while no record comes."""
        awake = self.partitions - idle
        # Choice: "heard from" is a record that was not invalid, for only that has an event time.
        # Choice: once there is a watermark it stays, also for a partition first heard from later.
        if not awake or not awake <= self.largest.keys():
            return
        smallest = min(self.largest[partition] for partition in awake)
        self.watermark = smallest if self.watermark is None else max(self.watermark, smallest)

    def _late(self, event: Event) -> Verdict | None:
        if self.watermark is None or not event.time < self.watermark - self.settings.lateness:
            return None
        return Verdict("late", late_by=self.watermark - event.time)

    def _duplicate(self, event: Event) -> Verdict | None:
        for number, combination in enumerate(self.settings.keys):
            matches = self._in_session if self.settings.window == "session" else self._in_window
            original = matches(number, event)
            if original is not None:
                matched = combination if combination == "content" else ",".join(combination)
                return Verdict("duplicate", matched=matched, original=self.unique[original].place)
        return None

    def _in_window(self, number: int, event: Event) -> int | None:
        matching = []
        for index, seen in enumerate(self.unique):
            # Choice: DEDUP_SHARD_BY names what "duplicates share": without the same values it is no
            # duplicate, or the verdict would hang on which shards meet in a lane.
            same = seen.event.keys[number] == event.keys[number] and seen.event.shard == event.shard
            if same and self._near_in_time(event.time, seen.event.time):
                matching.append(index)
        # Choice: several can match with a sliding window (later records on either side of an
        # earlier-stamped one).  The original is the one with the smaller partition and offset:
        # within a partition the earlier one, and over several the same however they interleave.
        return min(matching, key=lambda index: self.unique[index].place, default=None)

    def _near_in_time(self, time: float, unique: float) -> bool:
        seconds = self.settings.window_seconds
        if self.settings.window == "tumbling":
            return _floor(time / seconds) == _floor(unique / seconds)
        if self.settings.window == "sliding":
            return abs(time - unique) < seconds
        return True  # forever

    def _in_session(self, number: int, event: Event) -> int | None:
        gap = self.settings.window_seconds
        sessions = self.sessions[number]
        touched = [
            session
            for session in sessions
            if session.key == event.keys[number]
            and session.shard == event.shard
            and session.smallest - event.time < gap
            and event.time - session.largest < gap
        ]
        if not touched:
            return None
        joined = _Session(
            event.keys[number],
            event.shard,
            min(event.time, *[session.smallest for session in touched]),
            max(event.time, *[session.largest for session in touched]),
            # Choice: the original is the unique record that began the session it touched; of two,
            # and of sessions joined, the one decided first.
            min(session.began for session in touched),
        )
        apart = [session for session in sessions if session not in touched]
        self.sessions[number] = [*apart, joined]
        return joined.began

    def _near(self, event: Event) -> Verdict | None:
        threshold = self.settings.similarity
        if threshold is None:
            return None
        best: tuple[float, _Unique] | None = None
        for seen in self.unique:
            away = abs(event.time - seen.event.time)
            if seen.event.shard != event.shard or away > self.settings.similarity_seconds:
                continue
            alike = similarity(event.text, seen.event.text, self.settings)
            # Choice: "then the earliest" is the one decided first, as in "an earlier unique one".
            if alike >= threshold and (best is None or alike > best[0]):
                best = (alike, seen)
        if best is None:
            return None
        return Verdict("duplicate", matched="similar", original=best[1].place, similarity=best[0])

    def _remember(self, record: Record, event: Event) -> None:
        self.unique.append(_Unique((record.partition, record.offset), event))
        for sessions, key in zip(self.sessions, event.keys, strict=True):
            began = len(self.unique) - 1
            sessions.append(_Session(key, event.shard, event.time, event.time, began))


def _floor(quotient: float) -> float:
    # Choice: t / W is IEEE division of doubles, then floor; a W below 1 may make it infinite.
    return math.floor(quotient) if math.isfinite(quotient) else quotient
