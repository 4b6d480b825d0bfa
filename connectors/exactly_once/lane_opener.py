"""Rule 3: opens lanes.  An opened lane is fenced and restored, ready to decide and write.

A lane's state and its sink are in one process, and share one producer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import BoundedSemaphore, Lock, Thread
from typing import TypeVar

from connectors.exactly_once.changelog import Changelog, ChangelogEntry
from connectors.exactly_once.changelog_format import BEGINNING, ChangelogRecord, changes_of
from connectors.exactly_once.changelog_segments import ChangelogSegments
from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_producer import LaneProducer
from connectors.exactly_once.opened_lane import OpenedLane, claim
from connectors.kafka.access import KafkaAccess
from connectors.shutdown import exit_with_error
from operators.changes import Delta, LaneChange, LaneProgress
from operators.errors import DedupError, StateError
from operators.fingerprint import check_fingerprint
from operators.lanes.lane import Lane
from operators.lanes.lane_snapshot import LaneSnapshot
from operators.lanes.spec import LaneSpec

log = logging.getLogger("dedup.restore")

# Opening a producer mostly waits for the brokers to settle the lane's last transaction.
_OPENING_THREADS = 16
# The last record is two offsets before the end (the commit marker takes one).  Reading it again
# proves that this is the changelog the snapshot was made with.
_LAST_RECORD_OFFSETS = 2
# Keys that are applied together while restoring: enough to work in columns.
_APPLY_KEYS = 65_536


@dataclass(frozen=True, slots=True)
class SinkSnapshot:
    """What a recovery snapshot of the sink holds of a lane.

    end: where the lane's changelog ended.  generation, sequence: of the last verdict batch.
    """

    end: int
    generation: int
    sequence: int


_Result = TypeVar("_Result")


def _in_thread(
    name: str, call: Callable[[], _Result], told: Callable[[DedupError], object] | None = None
) -> Future[_Result]:
    """Call in a thread that a process which ends does not wait for.

    told: gets an error at once; who wants the result may ask for it much later.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - who waits gets it
            future.set_exception(error)
            if told is not None and isinstance(error, DedupError):
                told(error)

    Thread(target=run, name=name, daemon=True).start()
    return future


class LaneOpener:
    """Opens each lane of this process once, several lanes at a time."""

    def __init__(
        self,
        access: KafkaAccess,
        changelog: Changelog,
        spec: LaneSpec,
        *,
        recovery: bool = False,
    ) -> None:
        """spec: how lanes decide.  recovery: whether there is a recovery directory."""
        self._access = access
        self._changelog = changelog
        self._spec = spec
        self._fingerprint = spec.fingerprint
        self._recovery = recovery
        self._lock = Lock()
        self._producers: dict[int, Future[LaneProducer]] = {}
        self._restored: dict[int, Future[Lane]] = {}
        self._sink_snapshots: dict[int, SinkSnapshot] = {}
        self._opened: dict[int, OpenedLane] = {}
        self._slots = BoundedSemaphore(_OPENING_THREADS)

    def prepare(self, index: int) -> None:
        """Start to open a lane of this process, beside the others.

        With a recovery directory that goes as far as is possible before its snapshot is known.
        """
        with self._lock:
            self._producer(index)
            if not self._recovery and index not in self._restored:
                self._restored[index] = _in_thread(
                    f"restore-lane-{index}", lambda: self._restore(index, None), exit_with_error
                )

    def resume(self, index: int, snapshot: SinkSnapshot | None) -> None:
        """Note the sink's recovery snapshot of a lane, if there is one."""
        if snapshot is not None:
            with self._lock:
                self._sink_snapshots[index] = snapshot

    def _producer(self, index: int) -> Future[LaneProducer]:
        if index not in self._producers:
            self._producers[index] = _in_thread(
                f"open-lane-{index}", lambda: self._open_producer(index)
            )
        return self._producers[index]

    def _open_producer(self, index: int) -> LaneProducer:
        with self._slots:
            return LaneProducer(self._access, index)

    def open(self, index: int, snapshot: LaneSnapshot | None) -> Lane:
        """Rule 3: fence the lane, then read its changelog to the end and apply it.

        Raises StateError if the changelog is gone or was made with other settings.
        """
        with self._lock:
            restored = self._restored.get(index)
        if restored is not None and snapshot is None:
            return restored.result()
        return self._restore(index, snapshot)

    def _restore(self, index: int, snapshot: LaneSnapshot | None) -> Lane:
        with self._lock:
            future = self._producer(index)
            sink_snapshot = self._sink_snapshots.get(index)
        # Rule 3a: older producers are fenced, and the last transaction is settled.
        opened = OpenedLane(future.result())
        with self._slots:
            return self._restore_opened(opened, snapshot, sink_snapshot)

    def _restore_opened(
        self,
        opened: OpenedLane,
        snapshot: LaneSnapshot | None,
        sink_snapshot: SinkSnapshot | None,
    ) -> Lane:
        spec, index = self._spec, opened.producer.index
        self._changelog.wait_until_settled(index)
        lane = Lane(index, spec)
        start = 0
        if sink_snapshot is not None:
            lane.written = (sink_snapshot.generation, sink_snapshot.sequence)
        if snapshot is not None:
            # Rule 7: state made with other settings is refused.
            check_fingerprint(snapshot.fingerprint, self._fingerprint, "the recovery directory")
            _check_snapshot(snapshot)
            usable = snapshot.keys is not None and spec.open_store is None
            if usable and sink_snapshot is not None and _same_moment(snapshot, sink_snapshot):
                lane.restore(snapshot)
                start = sink_snapshot.end
                newest = max(snapshot.max_event_times.values(), default=float("-inf"))
                opened.segments.add(start, newest)
        on_disk = lane.resume()
        if on_disk is not None:
            start = on_disk.end
            newest = max(on_disk.max_event_times.values(), default=float("-inf"))
            opened.segments.add(on_disk.end, newest)
            if self._recovery and spec.stats_seconds is not None:
                # Statistics start where the recovery snapshot ends, keys where the disk ends.
                start = min(start, 0 if sink_snapshot is None else sink_snapshot.end)
        # Rule 3b: the changelog holds everything that the store lacks.
        counted = 0 if snapshot is None else snapshot.sequence
        first = max(start - _LAST_RECORD_OFFSETS, 0)
        end, found = self._replay(lane, first, opened.segments, counted)
        last = 0 if found is None else found.change.progress.sequence
        known = "recovery snapshot" if on_disk is None else "state on disk (DEDUP_STATE_DIR)"
        if end < start or last < max(counted, 0 if on_disk is None else on_disk.sequence):
            msg = (
                f"the {known} of lane {index} is ahead of its changelog {self._changelog.topic}: "
                "the topic is gone, cut or another's. To go on without what it knew (repeats of "
                "earlier records then pass as unique), choose another DEDUP_APP_ID and recovery "
                "directory."
            )
            raise StateError(msg)
        opened.sequence, opened.lane = lane.sequence, lane
        lane.opened(opened.generation)
        claim(opened, self._changelog, lane.reached(), self._fingerprint, found)
        with self._lock:
            self._opened[index] = opened
        return lane

    def _replay(
        self, lane: Lane, start: int, segments: ChangelogSegments, counted: int
    ) -> tuple[int, ChangelogRecord | None]:
        """Apply a lane's changelog from an offset on.

        segments: get the segments that are read.  counted: sequence of the last verdict batch in
        the statistics' snapshot.  Returns the end of the changelog, and its last record, None if
        it is empty.
        """
        consumer = self._changelog.consumer()
        transaction: list[ChangelogEntry] = []
        unapplied: list[LaneChange] = []
        keys = unapplied_keys = 0
        found: ChangelogRecord | None = None
        try:
            for entry in self._changelog.read(consumer, lane.index, start):
                transaction.append(entry)
                if not entry.record.last:
                    continue
                hit("in_restore")
                if entry.record.whole:
                    # Rule 7: state made with other settings is refused.
                    check_fingerprint(
                        entry.record.fingerprint, self._fingerprint, self._changelog.topic
                    )
                records = [part.record for part in transaction]
                changes = [record.change for record in records]
                transaction.clear()
                last, found = changes[-1].progress.sequence, entry.record
                segments.add(entry.end, max(change.delta.newest for change in changes))
                # Without a recovery directory nobody knows what the statistics hold already.
                if self._recovery and last > counted:
                    lane.recover(change.summary for change in changes)
                if last > lane.sequence or last == lane.sequence == BEGINNING:
                    unapplied += changes_of(records)
                    unapplied_keys += sum(len(change.delta) for change in changes)
                if unapplied_keys > _APPLY_KEYS:
                    keys += _apply(lane, unapplied)
                    unapplied_keys = 0
            keys += _apply(lane, unapplied)
            end = self._changelog.ends(consumer, lane.index)[1]
        finally:
            consumer.close()
        if any(number >= len(lane.inputs) for number in lane.progress):
            msg = (
                f"{self._changelog.topic}, partition {lane.index}, lacks the record that says what "
                "was read: was it cut by hand? Choose another DEDUP_APP_ID to start over"
            )
            raise StateError(msg)
        if keys:
            log.info("lane %d: restored %d keys from %s", lane.index, keys, self._changelog.topic)
        return end, found

    def opened(self, index: int) -> OpenedLane:
        """Return a lane that was opened."""
        with self._lock:
            return self._opened[index]


def _same_moment(snapshot: LaneSnapshot, sink_snapshot: SinkSnapshot) -> bool:
    """Whether the state's and the sink's snapshot are of the same moment of one opening.

    They differ if a cluster paused, another took over, and the first woke up and wrote into the
    recovery directory.  Then the whole changelog is read.
    """
    if snapshot.written == (sink_snapshot.generation, sink_snapshot.sequence):
        return True
    log.warning(
        "lane %d: the recovery directory was written by two clusters at a time; reading the "
        "whole changelog instead",
        snapshot.index,
    )
    return False


def _apply(lane: Lane, unapplied: list[LaneChange]) -> int:
    """Apply the changes of whole transactions together and forget them; return the key count."""
    if not unapplied:
        return 0
    last = unapplied[-1]
    delta = Delta.concat([change.delta for change in unapplied])
    progress = LaneProgress.concat([change.progress for change in unapplied])
    unapplied.clear()
    lane.apply([replace(last, delta=delta, progress=progress)])
    return len(delta)


def _check_snapshot(snapshot: LaneSnapshot) -> None:
    if not snapshot.changelog:
        msg = (
            "the recovery directory was made with DEDUP_GUARANTEE=at_least_once, so that its keys "
            "are not in a changelog: set it back, or choose another DEDUP_APP_ID and recovery "
            "directory"
        )
        raise StateError(msg)
