"""Writes the decisions of a lane on a thread of its own.

The worker's thread hands verdict batches over (`write`), in a bounded backlog.  The lane's thread,
the only one that uses the producer, adds them to a transaction.  It commits when the interval has
passed, or when an epoch ends (`request`, `wait`).  A commit mostly waits for the brokers: several
lanes wait at the same time while the worker decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Condition, Thread

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.lane_transactions import LaneTransactions, WriterSettings
from connectors.exactly_once.opened_lane import OpenedLane
from connectors.exactly_once.uncommitted import HeldBatch, UncommittedBatches
from connectors.kafka.timing import CommitTiming
from connectors.shutdown import exit_with_error
from operators.encode.encoder import Output
from operators.errors import DedupError, SinkError, StateError
from operators.monitoring.observer import Observer

# With more than this in the backlog the worker waits for the lane's thread: about what a worker
# decides in a tenth of a second.  Bytes of values are limited because records may be large.
_BACKLOG_RECORDS, _BACKLOG_BYTES = 20_000, 8 << 20
# Records of an open transaction are held until its commit, in case it must be repeated.  With
# more than this it is committed early.
_OPEN_RECORDS, _OPEN_BYTES = 200_000, 8 << 20

# The longest interval: well below transaction.timeout.ms (60 s unless set), after which the
# brokers would abort the transaction and fence its producer.
_MAX_OPEN_SECONDS = 20.0
# A client keeps its errors and log lines until it is polled: an idle lane's would pile up, and come
# out late.
_POLL_SECONDS = 1.0


class LaneWriter:
    """One lane's thread, and its backlog.

    Promises: batches are committed in the order of their sequence (rule 1).  Does not promise
    when, except for `wait`: afterwards all batches that were handed over are committed.
    """

    def __init__(
        self,
        opened: OpenedLane,
        changelog: Changelog,
        settings: WriterSettings,
        observer: Observer,
    ) -> None:
        """opened: the lane, fenced; batches must continue its sequence."""
        self.generation = opened.generation
        self.sequence = opened.sequence  # of the last batch that was handed over
        self._index = opened.producer.index
        self._transactions = LaneTransactions(opened, changelog, settings, observer)
        self._state = Condition()
        self._backlog = UncommittedBatches(_BACKLOG_RECORDS, _BACKLOG_BYTES)
        self._open = UncommittedBatches(_OPEN_RECORDS, _OPEN_BYTES)
        self._timing = CommitTiming(
            min(settings.interval_seconds, _MAX_OPEN_SECONDS), settings.workers
        )
        self._requested = False
        self._closed = False
        self._failure: DedupError | None = None
        self._thread = Thread(target=self._run, name=f"lane-{self._index}-writer", daemon=True)
        self._thread.start()

    def write(self, parts: Sequence[Output]) -> None:
        """Hand over a whole verdict batch; waits while the backlog is full."""
        sequence = parts[0].sequence
        if sequence != self.sequence + 1:  # rules 1 and 3
            msg = (
                f"lane {self._index} should go on with batch {self.sequence + 1}, but was given "
                f"{sequence}: another process has written this lane meanwhile"
            )
            raise StateError(msg)
        self.sequence = sequence
        batch = HeldBatch.of(parts)
        with self._state:
            while self._backlog.is_full:
                self._wait()
            self._timing.written(time.monotonic())
            self._backlog.append(batch)
            self._state.notify_all()

    def request(self) -> None:
        """Request a commit of all batches so far, without waiting for it."""
        with self._state:
            if self._open or self._backlog:
                self._requested = True
                self._state.notify_all()

    def wait(self) -> None:
        """Wait until all batches so far are committed."""
        with self._state:
            while self._open or self._backlog:
                self._requested = True
                self._state.notify_all()
                self._wait()
            self._requested = False

    def _wait(self) -> None:
        """Wait for the lane's thread; raise the error that ended it."""
        if self._failure is None:
            self._state.wait()
        if self._failure is not None:
            raise self._failure

    def mark(self, end: int) -> None:
        """Note where the changelog ends, after `wait`; trim it."""
        self._transactions.mark(end)

    def close(self) -> None:
        """Commit all batches and end the thread."""
        self.wait()
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (step := self._next()) is not None:
                step()
        except DedupError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - a bug: the worker would wait forever
            self._fail(SinkError(f"lane {self._index}: {type(error).__name__}: {error}"))

    def _fail(self, error: DedupError) -> None:
        """End the process.  Where it does not end (tests), nobody waits for this thread."""
        with self._state:
            self._failure = error
            self._state.notify_all()
        exit_with_error(error)

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next step: add a batch, commit, or poll.  None once it is closed."""
        with self._state:
            while not self._closed:
                now = time.monotonic()
                wait = self._timing.wait(now, self._open.records)
                due = self._open.is_full or (self._requested and not self._backlog)
                if self._open and (due or (wait is not None and wait <= 0)):
                    self._timing.commits(now)
                    return self._commit
                if self._backlog:
                    return partial(self._add, next(iter(self._backlog)))
                pause = _POLL_SECONDS if wait is None else min(wait, _POLL_SECONDS)
                if not self._state.wait(pause) and pause == _POLL_SECONDS:
                    return self._transactions.poll
            return None

    def _add(self, batch: HeldBatch) -> None:
        """Add the oldest batch of the backlog to the transaction."""
        if batch.records and not self._transactions.is_open:  # rule 2: the first record begins one
            self._transactions.begin()
            self._timing.began(time.monotonic())
        self._transactions.add(batch)
        with self._state:
            self._open.append(self._backlog.popleft())
            self._state.notify_all()

    def _commit(self) -> None:
        """Commit the open batches, and wake the threads that wait for that."""
        self._transactions.commit(self._open)
        with self._state:
            self._open.clear()
            self._requested = False
            self._state.notify_all()
