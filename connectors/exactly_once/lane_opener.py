"""The lanes that this process has opened: fenced, restored, ready to decide and write.

A lane's state and its sink meet on one worker (operators/lanes/placement.py) and share one
producer: whoever comes first opens it.  Where they do not meet (more workers than
names are made for) the sink opens the producer again, and checks that nothing was
written in between.
"""

from __future__ import annotations

import logging
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock

from connectors.exactly_once.changelog import Changelog, ChangelogEntry
from connectors.exactly_once.changelog_format import changes_of
from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_producer import LaneProducer
from connectors.kafka.access import KafkaAccess
from operators.changes import Delta, LaneChange
from operators.errors import StateError
from operators.fingerprint import check_fingerprint
from operators.lanes.lane import Lane, LaneSpec
from operators.lanes.snapshot import LaneSnapshot

log = logging.getLogger("dedup.restore")

# Settling a lane's last transaction is waiting, not work.
_AT_ONCE = 16
_MOST_STRETCHES = 1024
# Back from the end of a changelog to the last record of its last transaction: over the
# marker that commits it.  Read again, it proves that the changelog is the snapshot's.
_LAST_RECORD = 2
# Keys that are applied at once while restoring: enough to work in columns.
_APPLY_KEYS = 65_536


@dataclass(slots=True)
class ChangelogSegment:
    """A stretch of a lane's changelog: up to offset `end`, with keys up to `newest`."""

    end: int
    newest: float


@dataclass(frozen=True, slots=True)
class SinkSnapshot:
    """What a recovery snapshot of the sink says of a lane.

    end: where its changelog ended.  run, number: whose verdict batch was the last.
    """

    end: int
    run: int
    number: int


@dataclass(slots=True)
class OpenedLane:
    """A lane's producer, and what its changelog held when it was opened.

    number: last committed verdict batch.  run: names this opening of the lane among
    all there ever were.  retained: stretches that can be trimmed when their newest
    key has expired.  lane: its state, where this process has it.
    """

    producer: LaneProducer
    number: int = 0
    run: int = field(default_factory=lambda: secrets.randbits(63))
    retained: list[ChangelogSegment] = field(default_factory=list)
    lane: Lane | None = None

    def retain(self, end: int, newest: float) -> None:
        """Note a further stretch; many short ones become fewer long ones."""
        self.retained.append(ChangelogSegment(end, newest))
        if len(self.retained) > _MOST_STRETCHES:
            pairs = zip(self.retained[::2], self.retained[1::2], strict=False)
            odd = self.retained[-1:] if len(self.retained) % 2 else []
            self.retained = [
                ChangelogSegment(b.end, max(a.newest, b.newest)) for a, b in pairs
            ] + odd


class LaneOpener:
    """Opens lanes, once each, several at a time."""

    def __init__(
        self,
        access: KafkaAccess,
        changelog: Changelog,
        fingerprint: dict[str, str],
        *,
        recovery: bool = False,
    ) -> None:
        """fingerprint: setting → text, of the settings that change what the state means.

        recovery: whether there is a recovery directory.
        """
        self._access = access
        self._changelog = changelog
        self._fingerprint = fingerprint
        self._recovery = recovery
        self._lock = Lock()
        self._producers: dict[int, Future[LaneProducer]] = {}
        self._resume: dict[int, SinkSnapshot] = {}
        self._opened: dict[int, OpenedLane] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="open-lane")

    def prepare(self, lane: int, resume: SinkSnapshot | None) -> None:
        """Begin to open a lane's producer, since this process will write it.

        resume: what the recovery snapshot of the sink says, if there is one.
        """
        with self._lock:
            if resume is not None:
                self._resume[lane] = resume
            self._producer(lane)

    def _producer(self, lane: int) -> Future[LaneProducer]:
        if lane not in self._producers:
            self._producers[lane] = self._pool.submit(LaneProducer, self._access, lane)
        return self._producers[lane]

    def lane(self, number: int, spec: LaneSpec, snapshot: LaneSnapshot | None) -> Lane:
        """Open a lane for deciding (protocol rule 3): fence, read the changelog, apply it.

        Raises StateError if the changelog is gone or was made with other settings.
        """
        with self._lock:
            future = self._producer(number)
            resume = self._resume.get(number)
        opened = OpenedLane(future.result())  # (a) fenced, and the last transaction settled
        lane = Lane(number, spec)
        start = 0
        if snapshot is not None:
            check_fingerprint(snapshot.fingerprint, self._fingerprint, "the recovery directory")
            _check_snapshot(snapshot)
            fits = snapshot.keys is not None and spec.open_store is None
            if fits and resume is not None and _agree(snapshot, resume):
                lane.restore(snapshot)
                start = resume.end
                newest = max(snapshot.largest.values(), default=float("-inf"))
                opened.retain(start, newest)
        kept = lane.resume()
        if kept is not None:
            # Statistics begin where the recovery snapshot ends, keys where the disk does.
            counts = self._recovery and spec.stats_seconds is not None
            start = min(kept.end, 0 if resume is None else resume.end) if counts else kept.end
            opened.retain(kept.end, max(kept.largest.values(), default=float("-inf")))
        # (b) What the store does not hold yet follows from the changelog.
        counted = 0 if snapshot is None else snapshot.number
        end, last = self._replay(lane, max(start - _LAST_RECORD, 0), opened, counted)
        known = "recovery snapshot" if kept is None else "state on disk (DEDUP_STATE_DIR)"
        if end < start or last < max(counted, 0 if kept is None else kept.number):
            msg = (
                f"the {known} of lane {number} is ahead of its changelog "
                f"{self._changelog.topic}: the topic is gone, cut or another's. To go on without "
                "what it knew (repeats of earlier records then pass as unique), choose another "
                "DEDUP_APP_ID and recovery directory."
            )
            raise StateError(msg)
        opened.number, opened.lane = lane.number, lane
        lane.run = opened.run
        with self._lock:
            self._opened[number] = opened
        return lane

    def _replay(self, lane: Lane, start: int, opened: OpenedLane, counted: int) -> tuple[int, int]:
        """Apply a lane's changelog from an offset on.

        counted: number of the last verdict batch in the statistics' snapshot.  Returns
        where it ends, and the number of its last verdict batch, 0 if it is empty.
        """
        consumer = self._changelog.consumer()
        waiting: list[ChangelogEntry] = []
        read: list[LaneChange] = []
        keys = unapplied = last = 0
        try:
            for entry in self._changelog.read(consumer, lane.lane, start):
                waiting.append(entry)
                if not entry.record.last:
                    continue
                hit("in_restore")
                check_fingerprint(
                    entry.record.fingerprint, self._fingerprint, self._changelog.topic
                )
                records = [one.record for one in waiting]
                changes = [record.change for record in records]
                waiting.clear()
                last = changes[-1].number
                opened.retain(entry.end, max(change.delta.newest for change in changes))
                # Without recovery nobody knows what is in the statistics already.
                if self._recovery and last > counted:
                    lane.recover(change.summary for change in changes)
                if last > lane.number:
                    read += changes_of(records)
                    unapplied += sum(len(change.delta) for change in changes)
                if unapplied > _APPLY_KEYS:
                    keys += _apply(lane, read)
                    unapplied = 0
            keys += _apply(lane, read)
            end = self._changelog.ends(consumer, lane.lane)[1]
        finally:
            consumer.close()
        if keys:
            log.info("lane %d: restored %d keys from %s", lane.lane, keys, self._changelog.topic)
        return end, last

    def for_writing(self, lane: int) -> OpenedLane:
        """A lane for its sink: the one opened for deciding here, else opened anew."""
        with self._lock:
            opened = self._opened.get(lane)
            future = self._producer(lane)
        if opened is not None:
            return opened
        opened = OpenedLane(future.result())
        self._read_past(lane, opened)
        return opened

    def _read_past(self, lane: int, opened: OpenedLane) -> None:
        """Read what a lane's changelog holds: the last number, and how new each stretch's keys are.

        Without the latter, trimming would take all of it for as old as what is written next.
        """
        consumer = self._changelog.consumer()
        newest = float("-inf")
        try:
            for entry in self._changelog.read(consumer, lane, 0):
                change = entry.record.change
                newest = max(newest, change.delta.newest)
                if entry.record.last:
                    opened.number = max(opened.number, change.number)
                    opened.retain(entry.end, newest)
                    newest = float("-inf")
        finally:
            consumer.close()


def _agree(snapshot: LaneSnapshot, resume: SinkSnapshot) -> bool:
    """Whether the state's and the sink's snapshot are of one moment of one run.

    They are not where a cluster that stood still while another took over has woken
    up and written into the recovery directory: then the changelog is read whole.
    """
    if (snapshot.run, snapshot.number) == (resume.run, resume.number):
        return True
    log.warning(
        "lane %d: the recovery directory was written by two clusters at a time; reading the "
        "whole changelog instead",
        snapshot.lane,
    )
    return False


def _apply(lane: Lane, read: list[LaneChange]) -> int:
    """Apply what whole transactions changed, all at once; return the number of keys."""
    if not read:
        return 0
    last = read[-1]
    delta = Delta.concat([change.delta for change in read])
    read.clear()
    lane.apply([replace(last, delta=delta)])
    return len(delta)


def _check_snapshot(snapshot: LaneSnapshot) -> None:
    if not snapshot.changelog:
        msg = (
            "the recovery directory was made with DEDUP_GUARANTEE=at_least_once, so that its keys "
            "are not in a changelog: set it back, or choose another DEDUP_APP_ID and recovery "
            "directory"
        )
        raise StateError(msg)
