"""Writes what a lane decided, in transactions, on a thread of its own.

The worker's thread hands verdict batches over (`write`), in a bounded backlog.  The
lane's thread, the only one that touches the producer, adds them to a transaction, and
commits when the interval has passed, or when an epoch ends (`request`, `wait`).  A
commit is waiting for the brokers: several lanes wait at the same time, while the
worker decides.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread

from confluent_kafka import KafkaError

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import pack
from connectors.exactly_once.failpoints import TRIM_SECONDS, hit
from connectors.exactly_once.lane_opener import OpenedLane
from connectors.exactly_once.lane_producer import FencedError
from connectors.exactly_once.transaction_errors import RETRY_TIMEOUT_SECONDS
from connectors.exactly_once.uncommitted import HeldBatch, UncommittedBatches
from connectors.kafka.requests import KafkaUnreachableError
from connectors.kafka.timing import CommitTiming
from connectors.shutdown import exit_with_error
from operators.changes import LaneChange
from operators.encode.encoder import Output
from operators.errors import DedupError, SinkError, StateError
from operators.monitoring.observer import Observer
from operators.verdicts import VERDICTS

log = logging.getLogger("dedup.transactions")

# An outage is waited for, as a commit waits for it.
_AWAY = frozenset(
    (
        KafkaError._TIMED_OUT,  # noqa: SLF001 - librdkafka's own codes begin with _
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
    )
)
_AGAIN_SECONDS = 1.0

# What may wait for the lane's thread before the worker waits too: about what a worker
# decides in a tenth of a second.  Bytes of values, so that large records do not fill the memory.
_BACKLOG_RECORDS, _BACKLOG_BYTES = 20_000, 8 << 20
# Records of an open transaction are held until it is committed, to be repeated if
# need be: so many, and it is committed before its time.
_OPEN_RECORDS, _OPEN_BYTES = 200_000, 8 << 20

# However long the interval, well under transaction.timeout.ms (60 s unless set), at
# which the brokers would abort the transaction and fence its producer.
_LONGEST_OPEN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How to write.

    topics: verdict → topic, empty for count and drop.  interval_seconds: the longest
    a decided record waits for its commit to begin.  is_expired: (newest event time,
    horizon) → whether the window needs it no more.  fingerprint: setting → text.
    workers: of the whole job, which all give a lane records.  trim_seconds: how often
    the changelog is trimmed.
    """

    topics: Mapping[str, str]
    interval_seconds: float
    allowed_lateness_seconds: float
    is_expired: Callable[[float, float], bool]
    fingerprint: dict[str, str]
    workers: int
    trim_seconds: float = TRIM_SECONDS


class LaneWriter:
    """One lane's transactions.

    Promises: batches are committed in the order of their numbers, each whole, and
    with each transaction the changelog record that says so (protocol rules 1, 2).
    Does not promise when, but for `wait`, after which everything given is committed.
    """

    def __init__(
        self,
        opened: OpenedLane,
        changelog: Changelog,
        settings: WriterSettings,
        observer: Observer,
    ) -> None:
        """opened: the lane, fenced; batches must go on from its number."""
        self._opened = opened
        self._producer = opened.producer
        self._changelog = changelog
        self._settings = settings
        self._observer = observer
        self._number = self._committed = opened.number
        self._state = Condition()
        self._backlog = UncommittedBatches(_BACKLOG_RECORDS, _BACKLOG_BYTES)
        self._open = UncommittedBatches(_OPEN_RECORDS, _OPEN_BYTES)
        self._in_transaction = False  # the lane's thread's own
        self._pace = CommitTiming(
            min(settings.interval_seconds, _LONGEST_OPEN_SECONDS), settings.workers
        )
        self._asked = False
        self._closed = False
        self._failure: DedupError | None = None
        self._trimmed = time.monotonic()
        self._newest = self._watermark = float("-inf")
        self._thread = Thread(
            target=self._run, name=f"lane-{opened.producer.lane}-writer", daemon=True
        )
        self._thread.start()

    @property
    def run(self) -> int:
        """Which opening of the lane this is."""
        return self._opened.run

    @property
    def number(self) -> int:
        """Number of the last batch that was given."""
        return self._number

    def write(self, parts: Sequence[Output]) -> None:
        """Hand over a whole verdict batch; waits while too much waits for the lane's thread."""
        number = parts[0].number
        if number != self._number + 1:
            msg = (
                f"lane {self._producer.lane} should go on with batch {self._number + 1}, but was "
                f"given {number}: another process has written this lane meanwhile"
            )
            raise StateError(msg)
        self._number = number
        batch = HeldBatch.of(parts)
        with self._state:
            while self._backlog.is_full:
                self._wait()
            self._pace.written(time.monotonic())
            self._backlog.append(batch)
            self._state.notify_all()

    def request(self) -> None:
        """Ask for a commit of everything given so far, without waiting for it."""
        with self._state:
            if self._open or self._backlog:
                self._asked = True
                self._state.notify_all()

    def wait(self) -> None:
        """Wait until everything given so far is committed."""
        with self._state:
            while self._open or self._backlog:
                self._asked = True
                self._state.notify_all()
                self._wait()
            self._asked = False

    def _wait(self) -> None:
        """Wait for the lane's thread; raise what ended it."""
        if self._failure is None:
            self._state.wait()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Commit what is left and end the thread."""
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
        except BaseException as error:  # noqa: BLE001 - a bug: the worker would wait for ever
            self._fail(SinkError(f"lane {self._producer.lane}: {type(error).__name__}: {error}"))

    def _fail(self, error: DedupError) -> None:
        """End the process; where it does not end (tests), nobody waits for this thread."""
        with self._state:
            self._failure = error
            self._state.notify_all()
        exit_with_error(error)

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is to be done next: add a batch, or commit; None: nothing more."""
        with self._state:
            while not self._closed:
                now = time.monotonic()
                wait = self._pace.wait(now, self._open.records)
                due = self._open.is_full or (self._asked and not self._backlog)
                if self._open and (due or (wait is not None and wait <= 0)):
                    self._pace.commits(now)
                    return self._commit
                if self._backlog:
                    return partial(self._add, next(iter(self._backlog)))
                self._state.wait(wait)
            return None

    def _add(self, batch: HeldBatch) -> None:
        """Put the oldest batch of the backlog into the transaction."""
        if batch.records and not self._in_transaction:
            self._begin()  # rule 2: the first record opens one
            self._pace.began(time.monotonic())
        if self._in_transaction:
            self._produce(batch)
        with self._state:
            self._open.append(self._backlog.popleft())
            self._state.notify_all()

    def _begin(self) -> None:
        self._producer.begin()
        self._in_transaction = True

    def _produce(self, batch: HeldBatch) -> None:
        for verdict, records in batch.packed:
            topic = self._settings.topics[VERDICTS[verdict]]
            if topic and len(records):
                self._producer.produce(topic, records)

    def _commit(self) -> None:
        """Commit what was added; nobody waits for it after that."""
        self._write_transaction()
        if self._producer.doubtful:
            # Whoever took the lane over should not be fenced for nothing.
            self._check_ours(settled=False)
            self._renew()
        self._producer.begin_ahead()
        self._in_transaction = False
        with self._state:
            self._open.clear()
            self._asked = False
            self._state.notify_all()

    def _write_transaction(self) -> None:
        """Commit the open transaction with its changelog record; repeat it if need be."""
        batches = self._open
        change = LaneChange.concat([part for batch in batches for part in batch.changes])
        changes = list(pack(change, self._settings.fingerprint))
        began = time.monotonic()
        deadline = math.inf
        if not self._in_transaction:
            self._begin()
        while self._producer.commit(self._changelog.topic, changes) is not None:
            # An outage is over when the abort went through: from then on patience counts.
            self._producer.abort()
            deadline = min(deadline, time.monotonic() + RETRY_TIMEOUT_SECONDS)
            if time.monotonic() > deadline:
                msg = (
                    f"lane {self._producer.lane}: a transaction was aborted again and again for "
                    f"{RETRY_TIMEOUT_SECONDS:.0f} s; nothing is lost: see the brokers' logs, "
                    "start again"
                )
                raise SinkError(msg)
            self._renew()
            self._begin()
            for batch in batches:
                self._produce(batch)
        self._committed = change.progress.sequence
        hit("after_commit")
        if self._opened.lane is not None:
            self._opened.lane.committed(change)
        self._newest = max(self._newest, change.delta.newest)
        self._watermark = change.progress.watermark
        self._observer.committed(time.monotonic() - began)
        now = time.time()
        for batch in batches:
            self._observer.written(batch.written, now)

    def _renew(self) -> None:
        """Go on under another epoch of the producer, unless the lane is another's meanwhile."""
        self._producer.renew()
        self._check_ours()

    def _check_ours(self, *, settled: bool = True) -> None:
        """Raise FencedError if the changelog says that another process has written the lane.

        settled: whether our own last transaction can be seen by now, so that it must be the last.
        """
        number = self._last_number()
        if number > self._committed or (settled and number < self._committed):
            msg = (
                f"another process has taken over lane {self._producer.lane} and written it up to "
                f"batch {number}, this one up to {self._committed}: it ends and writes nothing more"
            )
            raise FencedError(msg)

    def _last_number(self) -> int:
        """Number of the last batch in the changelog; waits while no broker answers."""
        while True:
            try:
                last = self._changelog.last_record(self._producer.lane)
            except KafkaUnreachableError as error:
                if error.code not in _AWAY:
                    raise
                log.warning("lane %d: asking again: %s", self._producer.lane, error)
                time.sleep(_AGAIN_SECONDS)
            else:
                return 0 if last is None else last.change.progress.sequence

    def mark(self, end: int) -> None:
        """Note where the changelog ends, now that everything is committed; trim it (rule 6)."""
        opened = self._opened
        opened.retain(end, self._newest)
        if opened.lane is not None:
            opened.lane.marked(end)
        self._newest = float("-inf")
        now = time.monotonic()
        if now - self._trimmed < self._settings.trim_seconds:
            return
        self._trimmed = now
        horizon = self._watermark - self._settings.allowed_lateness_seconds
        before = None
        # The last stretch holds the lane's progress: it always stays.
        while len(opened.retained) > 1 and self._settings.is_expired(
            opened.retained[0].newest, horizon
        ):
            before = opened.retained.pop(0).end
        if before is not None:
            self._changelog.trim(self._producer.lane, before)
