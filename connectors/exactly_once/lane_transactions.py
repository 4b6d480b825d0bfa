"""A lane's transactions: outputs and changelog record are written and committed together.

Only the lane's thread writes (lane_writer.py); only `mark` is called by the worker's thread, while
the lane's thread has nothing to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import ChangelogRecord, pack
from connectors.exactly_once.failpoints import TRIM_SECONDS, hit
from connectors.exactly_once.lane_producer import FencedError, LostProducerError
from connectors.exactly_once.opened_lane import OpenedLane
from connectors.exactly_once.transaction_log import through_an_outage
from connectors.exactly_once.uncommitted import HeldBatch
from operators.changes import LaneChange
from operators.errors import StateError
from operators.monitoring.observer import Observer
from operators.verdicts import VERDICTS

log = logging.getLogger("dedup.transactions")

# A lane that is opened so often without a commit has another problem than its brokers.
_MAX_REOPENED = 5
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How to write.

    topics: verdict → topic, empty for count and drop.  interval_seconds: the longest a decided
    record waits until its commit begins.  is_expired: (newest event time, horizon) → whether the
    window needs the key no more.  fingerprint: setting → text.  workers: of the whole job; all of
    them give a lane records.  trim_seconds: how often the changelog is trimmed.
    """

    topics: Mapping[str, str]
    interval_seconds: float
    is_expired: Callable[[float, float], bool]
    fingerprint: dict[str, str]
    workers: int
    trim_seconds: float = TRIM_SECONDS


class LaneTransactions:
    """Writes verdict batches and the changelog of one lane.

    Promises: each batch is committed whole, and with each transaction the changelog record that
    says so (rules 1 and 2).
    """

    def __init__(
        self,
        opened: OpenedLane,
        changelog: Changelog,
        settings: WriterSettings,
        observer: Observer,
    ) -> None:
        """opened: the lane, fenced."""
        self._opened = opened
        self._producer = opened.producer
        self._changelog = changelog
        self._settings = settings
        self._observer = observer
        self._committed = opened.sequence
        self._trimmed = time.monotonic()
        self._newest = self._horizon = float("-inf")
        # What the changelog says since its last whole record; None: the next one is whole.
        self._positions: dict[int, int] | None = None
        self._inputs = 0
        self._unmarked = 0
        self._run = opened.generation
        self._reopened = 0  # since the last commit

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open."""
        return self._producer.in_transaction

    def poll(self) -> None:
        """Let the producer log what it has to say."""
        self._producer.poll()

    def begin(self) -> None:
        """Begin a transaction."""
        self._producer.begin()

    def add(self, batch: HeldBatch) -> None:
        """Add the records of a batch, if any, to the open transaction."""
        for verdict, records in batch.packed:
            topic = self._settings.topics[VERDICTS[verdict]]
            if topic and len(records):
                self._producer.produce(topic, records)

    def commit(self, batches: Iterable[HeldBatch]) -> None:
        """Commit the batches that were added, with their changelog record.

        Repeats the transaction if need be, and begins the next one ahead.
        """
        self._write(batches)
        while True:
            try:
                self._begin_ahead()
            except LostProducerError as error:
                self._reopen(error, self._committed)
            else:
                return

    def _begin_ahead(self) -> None:
        if self._producer.doubtful:  # rule 9
            # Do not fence a process that has taken the lane over: look before renewing as well.
            self._check_owner(self._last_record(settled=False))
            self._renew()
        self._producer.begin_ahead()

    def _write(self, batches: Iterable[HeldBatch]) -> None:
        def produce() -> None:
            for batch in batches:
                self.add(batch)

        change = LaneChange.concat([part for batch in batches for part in batch.changes])
        changes = self._pack(change)
        began = time.monotonic()
        self._write_through_outages(produce, changes, change.progress.sequence)
        self._committed = change.progress.sequence
        self._reopened = 0
        hit("after_commit")
        if self._opened.lane is not None:
            self._opened.lane.committed(change)
        self._newest = max(self._newest, change.delta.newest)
        self._horizon = change.horizon
        self._observer.committed(time.monotonic() - began)
        now = time.time()
        for batch in batches:
            self._observer.written(batch.written, now)

    def _write_through_outages(
        self, produce: Callable[[], None], changes: Sequence[bytes], sequence: int
    ) -> None:
        """Write a transaction; if the producer is lost, go on with another one.

        sequence: of the last batch in it.
        """
        topic = self._changelog.topic
        while True:
            try:
                self._producer.write_transaction(produce, topic, changes, self._renew)
            except LostProducerError as error:
                if self._reopen(error, sequence) == sequence:
                    return  # it was committed, although no answer said so
            else:
                return

    def _reopen(self, error: LostProducerError, sequence: int) -> int:
        """Rule 10: open the lane again if it is still ours; wait for the brokers as long as needed.

        sequence: of the last batch in the transaction that may or may not be committed.  Returns
        the sequence of the last committed batch.  Raises FencedError if another process has
        opened the lane, and `error` if opening helps nothing.
        """
        if self._reopened >= _MAX_REOPENED:
            raise error
        log.warning("lane %d is opened again: %s", self._producer.index, error)
        while True:
            self._observer.liveness.note_outage()
            # Do not fence a process that has taken the lane over: look before renewing as well.
            self._check_run(self._last_record(settled=False))
            try:
                self._producer.renew()
                break
            except LostProducerError as failed:
                log.warning("lane %d: opening again: %s", self._producer.index, failed)
                time.sleep(_PAUSE_SECONDS)
        self._reopened += 1
        last = self._last_record(settled=True)
        self._check_run(last)
        if last.change.progress.sequence not in {self._committed, sequence}:
            raise self._taken_over(last)
        log.warning("lane %d: goes on", self._producer.index)
        return last.change.progress.sequence

    def _pack(self, change: LaneChange) -> list[bytes]:
        """Pack the change into the changelog's records, a whole one where it is needed.

        The first record of a run is whole (rule 7), and the first one after a mark: all before
        a mark may be trimmed.  So is one for a new input partition.
        """
        progress = change.progress
        before, self._positions = self._positions, progress.positions
        self._unmarked += 1
        if before is None or len(progress.inputs) != self._inputs:
            self._inputs = len(progress.inputs)
            return list(pack(change, self._settings.fingerprint, self._run))
        moved = {
            partition: offset
            for partition, offset in progress.positions.items()
            if before.get(partition) != offset
        }
        moved_only = replace(change, progress=progress._replace(positions=moved))
        return list(pack(moved_only, None, self._run))

    def _renew(self) -> None:
        """Rule 9: start a new producer epoch, and go on only if the lane is still ours."""
        self._producer.renew()
        last = self._last_record(settled=True)
        self._check_owner(last)
        if last.change.progress.sequence < self._committed:
            raise self._taken_over(last)

    def _check_owner(self, last: ChangelogRecord) -> None:
        """Raise FencedError if a record is not of this opening, or later than what it wrote."""
        self._check_run(last)
        if last.change.progress.sequence > self._committed:
            raise self._taken_over(last)

    def _check_run(self, last: ChangelogRecord) -> None:
        """Raise FencedError if a record is not of this opening of the lane."""
        if last.run != self._run:
            raise self._taken_over(last)

    def _taken_over(self, last: ChangelogRecord) -> FencedError:
        return FencedError(
            f"another process has taken over lane {self._producer.index} and written it up to "
            f"batch {last.change.progress.sequence}, this one up to {self._committed}: it ends and "
            "writes nothing more"
        )

    def _last_record(self, *, settled: bool) -> ChangelogRecord:
        """The last record in the changelog; waits while no broker answers.

        settled: whether our own last transaction must be visible by now.
        """
        lane = self._producer.index

        def ask() -> ChangelogRecord:
            self._observer.liveness.note_outage()
            if settled:
                self._changelog.wait_until_settled(lane)
            record = self._changelog.last_record(lane)
            if record is None:  # at least the record of this opening was there
                msg = f"{self._changelog.topic}, partition {lane}, is empty: was it deleted?"
                raise StateError(msg)
            return record

        return through_an_outage(f"lane {lane}", ask)

    def mark(self, end: int) -> None:
        """Note where the changelog ends, now that everything is committed; trim it.

        Rule 6: event time decides what is trimmed; the clock only decides how often to look.
        """
        opened = self._opened
        if opened.lane is not None:
            opened.lane.marked(end)
        if not self._unmarked:
            return
        opened.segments.add(end, self._newest)
        self._newest = float("-inf")
        self._unmarked, self._positions = 0, None
        now = time.monotonic()
        if now - self._trimmed < self._settings.trim_seconds:
            return
        self._trimmed = now
        before = opened.segments.remove_expired(
            lambda newest: self._settings.is_expired(newest, self._horizon)
        )
        if before is not None:
            self._changelog.trim(self._producer.index, before)
