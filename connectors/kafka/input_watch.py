"""Watches the input topics for all workers of a process.

Topics get partitions, and are deleted and created again.  A partition from which nothing comes
may be read to its end, wait behind an open transaction, or have no leader.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Condition, Event, Thread
from typing import NamedTuple

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_topics import input_partitions
from connectors.kafka.offsets import PartitionEnd, ask_offsets
from connectors.kafka.partition_reading import FRESH_SECONDS
from connectors.kafka.requests import KafkaUnreachableError
from connectors.kafka.watched_admin import WatchedAdmin
from connectors.shutdown import exit_with_error
from operators.batches import InputPartition
from operators.errors import DedupError, SourceError

log = logging.getLogger("dedup.source")

# Partitions that were added are read within a minute.
_CHECK_SECONDS = 15.0
# A broker that has just started may not have heard of a topic.
_GONE_SECONDS = 60.0
_AGAIN_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_FIRST, _LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]


class _Check(NamedTuple):
    """How a check ended.

    is_certain: whether the partitions are those of the topics that exist now: one that is not
    found for a moment may have been created again.  is_complete: whether all can be read; one
    that is new may have no leader yet.
    """

    is_certain: bool
    is_complete: bool


class InputWatch:
    """Finds the input partitions, and the ends of those that readers ask about.

    partitions: all input partitions, sorted; replaced when they change.  firsts, history: of
    partitions that appeared later, the first offset, and where they ended when they were found.
    ends: what is known of quiet partitions.
    checked: the number of the last finished check; see `request`.  answered_at: when a broker
    answered last.
    """

    def __init__(
        self,
        access: KafkaAccess,
        topics: Sequence[str],
        partitions: Iterable[InputPartition],
        ends_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """partitions: those found at the start.  ends_seconds: between questions for ends.

        clock: monotonic seconds.
        """
        self._access = access
        self._topics = topics
        self._ends_seconds = ends_seconds
        # Two, since each may be replaced while the other waits for an answer.
        self._admin = WatchedAdmin(access, "watch", clock)
        self._ends_admin = WatchedAdmin(access, "watch-ends", clock)
        self.clock = clock
        self._state = Condition()
        self._closed = Event()
        self.partitions = tuple(partitions)
        self.firsts: dict[InputPartition, int] = {}
        self.history: dict[InputPartition, int] = {}
        self.ends: dict[InputPartition, PartitionEnd] = {}
        self._quiet: dict[int, Sequence[InputPartition]] = {}
        self._requested = self.checked = 0
        self._missing: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._replaced: set[str] = set()  # ids of topics that were created again
        self.answered_at = clock()

    def start(self) -> None:
        """Start watching, on two threads: an answer about ends may take long."""
        for loop in (self._watch, self._watch_ends):
            Thread(target=self._run, args=(loop,), name="input-watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self.request()

    def request(self) -> int:
        """Ask for a check now; it is done when `checked` has reached the returned number."""
        with self._state:
            self._requested += 1
            self._state.notify_all()
            return self._requested

    def quiet(self, reader: int, partitions: Sequence[InputPartition]) -> None:
        """Note from which partitions a reader gets nothing: their ends are asked for."""
        self._quiet[reader] = partitions

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except DedupError as error:
            exit_with_error(error)
        except Exception as error:  # noqa: BLE001 - a bug: nobody would notice a changed topic
            exit_with_error(SourceError(f"watching the input: {type(error).__name__}: {error}"))

    def _watch(self) -> None:
        pause = _CHECK_SECONDS
        while not self._closed.is_set():
            with self._state:
                if self._requested == self.checked:
                    self._state.wait(pause)
                requested = self._requested
            asked_at = self.clock()
            try:
                check = self._check()
            except KafkaUnreachableError as error:
                log.debug("cannot ask for the input's partitions: %s", error)
                self._admin.unanswered(asked_at)
                pause = _AGAIN_SECONDS
                self._closed.wait(pause)
                continue
            self._admin.answered()
            self.answered_at = self.clock()
            pause = _CHECK_SECONDS if check.is_complete else _AGAIN_SECONDS
            if check.is_certain:
                self.checked = requested
            else:
                self._closed.wait(_AGAIN_SECONDS)

    def _watch_ends(self) -> None:
        while not self._closed.wait(self._ends_seconds):
            asked_at = self.clock()
            if self._ask_ends():
                self._ends_admin.answered()
            else:
                self._ends_admin.unanswered(asked_at)

    def _check(self) -> _Check:
        """Find the partitions; tell what has changed."""
        admin = self._admin.client()
        found = self._up_to_date(input_partitions(self._access, admin, self._topics))
        ids = {partition.topic: partition.topic_id for partition in found}
        now = self.clock()
        for topic in self._topics:
            if topic in ids:
                self._missing.pop(topic, None)
                self._told.pop(topic, None)
            else:
                self._tell_missing(topic, now)
        # Not found is not gone: a broker that starts may not know a topic yet, or not all of it.
        # Kafka takes no partition from a topic.
        kept = [
            partition
            for partition in self.partitions
            if ids.get(partition.topic, partition.topic_id) == partition.topic_id
            and now - self._missing.get(partition.topic, now) < _GONE_SECONDS
        ]
        # Meanwhile the client that reads may know more of a missing topic.
        is_certain = not any(one.topic in self._missing for one in kept)
        partitions = tuple(sorted({*found, *kept}))
        if partitions == self.partitions:
            return _Check(is_certain, is_complete=True)
        new = [partition for partition in found if partition not in self.partitions]
        firsts = self._offsets(admin, new, _FIRST, IsolationLevel.READ_UNCOMMITTED)
        self.firsts |= firsts
        committed = IsolationLevel.READ_COMMITTED
        self.history |= self._offsets(admin, list(firsts), _LATEST, committed)
        later = set(new) - firsts.keys()
        partitions = tuple(partition for partition in partitions if partition not in later)
        self._tell_changes(partitions, ids)
        self.partitions = partitions
        return _Check(is_certain, is_complete=not later)

    def _up_to_date(self, found: Sequence[InputPartition]) -> list[InputPartition]:
        """Leave out topics that have been replaced: a broker may be behind the others.

        A broker that knows no ids, beside others that do, speaks of the same topics.
        """
        ids = {partition.topic: partition.topic_id for partition in self.partitions}
        current = []
        for partition in found:
            known = ids.get(partition.topic, partition.topic_id)
            if not known or not partition.topic_id:
                current.append(partition._replace(topic_id=known))
            elif partition.topic_id not in self._replaced:
                current.append(partition)
        return current

    def _tell_missing(self, topic: str, now: float) -> None:
        since = self._missing.setdefault(topic, now)
        if now - self._told.setdefault(topic, since) >= _GONE_SECONDS:
            log.warning("topic %s does not exist: the job waits for it", topic)
            self._told[topic] = now

    def _tell_changes(self, partitions: Sequence[InputPartition], ids: Mapping[str, str]) -> None:
        before = {partition.topic: partition.topic_id for partition in self.partitions}
        for topic, identity in ids.items():
            new = [
                partition
                for partition in partitions
                if partition.topic == topic and partition not in self.partitions
            ]
            if topic in before and before[topic] != identity:
                self._replaced.add(before[topic])
                log.warning(
                    "topic %s was deleted and created again: it is read from its first record, "
                    "and its keys are kept. Records of the old topic that were not read are gone",
                    topic,
                )
            elif new:
                numbers = ", ".join(str(partition.partition) for partition in new)
                log.info("topic %s has new partitions: %s", topic, numbers)
        for topic in before.keys() - {partition.topic for partition in partitions}:
            log.warning(
                "topic %s was deleted: records of it that were not read are gone. The job waits "
                "until it is created again",
                topic,
            )

    def _ask_ends(self) -> bool:
        """Ask for the ends of quiet partitions; forget what is known of those without answer.

        Returns whether there was an answer, or no question.
        """
        asked = sorted({partition for quiet in self._quiet.values() for partition in quiet})
        now = self.clock()
        admin = self._ends_admin.client()
        ends = self._offsets(admin, asked, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        committed = self._offsets(admin, list(ends), _LATEST, IsolationLevel.READ_COMMITTED)
        known = self.ends
        self.ends = {
            partition: PartitionEnd(committed[partition], ends[partition], now)
            if partition in committed
            else known[partition]
            for partition in asked
            if partition in committed
            or (partition in known and now - known[partition].asked_at < FRESH_SECONDS)
        }
        if committed:
            self.answered_at = self.clock()
        return bool(committed) or not asked

    @staticmethod
    def _offsets(
        admin: AdminClient,
        partitions: Sequence[InputPartition],
        which: OffsetSpec,
        level: IsolationLevel,
    ) -> dict[InputPartition, int]:
        """Ask for offsets of partitions; those without an answer are missing."""
        if not partitions:
            return {}
        places = {TopicPartition(topic, number): (topic, number) for topic, _, number in partitions}
        offsets, errors = ask_offsets(admin, places, which, level, _ANSWER_SECONDS)
        if errors:
            # A client that asks only for offsets would keep its old leaders for 15 minutes.
            for topic in {place.topic for place in errors}:
                try:
                    admin.list_topics(topic, timeout=_ANSWER_SECONDS)
                except KafkaException as error:
                    log.debug("cannot ask about %s: %s", topic, error)
        by_place = {places[place]: offset for place, offset in offsets.items()}
        return {
            partition: by_place[partition.topic, partition.partition]
            for partition in partitions
            if (partition.topic, partition.partition) in by_place
        }
