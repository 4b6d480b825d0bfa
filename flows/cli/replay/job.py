"""One run of `dedup replay`: reads the topics, picks records, and writes them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Message

from connectors.exactly_once.transaction_log import TransactionLog
from connectors.kafka.access import KafkaAccess
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.topic_reader import TopicReader
from connectors.kafka.topics import no_such_topic, own_topics, partition_counts
from flows.cli.reading import read_topic
from flows.cli.replay.log import ensure_log, log_topic, read_log_record
from flows.cli.replay.pacing import Pace, batches
from flows.cli.replay.selection import DeadLetter, Filters, Replay, ReplayLog, Selection
from flows.cli.replay.writer import ReplayWriter
from flows.settings.model import Settings
from operators.columns.header_table import Headers
from operators.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A run of `dedup replay`.

    topics: are read.  to: the topic that is written, the target.  limit: largest number
    of records.  rate: records a second.  Both are infinite where there is no limit.
    """

    access: KafkaAccess
    settings: Settings
    topics: Sequence[str]
    to: str
    filters: Filters
    limit: float
    rate: float

    def dry_run(self) -> Iterator[str]:
        """Write nothing; yield the lines that say what `replay` would do."""
        self._check_topics()
        with closing(TopicReader(self.access, timestamps=True)) as reader:
            replayed = self._read_log(reader)
            left = self.limit
            for topic in self.topics:
                selection = self._selection(replayed)
                for _ in self._pick(reader, topic, selection, left):
                    left -= 1
                yield _summary(topic, selection, f"would be replayed to {self.to}")

    def replay(self) -> Iterator[str]:
        """Replay the records; yield a line for each topic.

        Each transaction holds replays and the log's records that name them.
        """
        partitions = self._check_topics()
        log = TransactionLog(self.access, log_topic(self.settings.app_id), "replay-log")
        ensure_log(self.access, log.admin(), self.to)
        access = fitted(self.access, None, [self.to, log.topic])
        writer = ReplayWriter(access, log, self.to, partitions)
        # The log is read after the writer has opened: by then, the last transaction of
        # another run has been committed or aborted, so the log is complete.
        with closing(TopicReader(self.access, timestamps=True)) as reader:
            replayed = self._read_log(reader)
            pace = Pace(self.rate)
            left = self.limit
            for topic in self.topics:
                selection = self._selection(replayed)
                replays = self._pick(reader, topic, selection, left)
                for batch in batches(replays, pace.batch_records):
                    writer.write(batch)
                    left -= len(batch)
                    pace.wait(len(batch))
                yield _summary(topic, selection, f"replayed to {self.to}")

    def _check_topics(self) -> int:
        """Check the topics before anything is created; return the target's partition count.

        Raises SettingsError if a topic is missing, or if the target cannot be written.
        """
        own = own_topics(self.settings.app_id)
        if self.to in own:
            msg = f"--to {self.to}: that topic is the application's own memory; name another"
            raise SettingsError(msg)
        counts = partition_counts(self.access.admin(), self.access)
        if self.to not in counts:
            msg = (
                f"--to {self.to}: {no_such_topic(self.to, counts, own)}. Name one that does, or "
                "create it"
            )
            raise SettingsError(msg)
        for topic in self.topics:
            if topic not in counts:
                msg = (
                    f"{no_such_topic(topic, counts, own)}. Check the settings (`dedup config` "
                    "shows them)"
                )
                raise SettingsError(msg)
        return counts[self.to]

    def _selection(self, replayed: ReplayLog) -> Selection:
        return Selection(self.settings.input_topic, self.to, self.filters, replayed)

    def _read_log(self, reader: TopicReader) -> ReplayLog:
        replayed = ReplayLog()
        topic = log_topic(self.settings.app_id)
        if reader.has(topic):
            for _, messages in read_topic(reader, topic, reader.offset_ranges(topic)):
                for message in messages:
                    read_log_record(message.value() or b"", replayed)
        return replayed

    def _pick(
        self, reader: TopicReader, topic: str, selection: Selection, limit: float
    ) -> Iterator[Replay]:
        """Yield the replays of a topic, up to a limit."""
        count = 0
        for _, messages in read_topic(reader, topic, reader.offset_ranges(topic)):
            for message in messages:
                if count >= limit:
                    return
                replay = selection.pick(_dead_letter(message))
                if replay is not None:
                    count += 1
                    yield replay


def _dead_letter(message: Message) -> DeadLetter:
    # A consumed message's headers are a list; the stubs also allow the producers' types.
    headers = cast("Headers", message.headers())
    return DeadLetter(message.value(), message.key(), headers, message.timestamp()[1])


def _summary(topic: str, selection: Selection, done: str) -> str:
    counts = selection.counts
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in selection.reasons.most_common())
    parts = [f"{counts['picked']:,} {done}" + (f" ({reasons})" if reasons else "")]
    if counts["before"]:
        parts.append(f"{counts['before']:,} were replayed before")
    if counts["unwanted"]:
        parts.append(f"{counts['unwanted']:,} not asked for")
    if counts["foreign"]:
        parts.append(f"{counts['foreign']:,} not from {selection.input_topic}")
    return f"{topic}: {counts['read']:,} records read: {', '.join(parts)}"
