"""`dedup replay`: give late, invalid or duplicate records another chance, each once."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from confluent_kafka import Message

from connectors.kafka.access import KafkaAccess
from connectors.kafka.batch_sizes import fitted
from connectors.kafka.topic_reader import TopicReader
from connectors.kafka.topics import no_such_topic, own_topics, partition_counts
from flows.assembly.specs import kafka_access, output_topics
from flows.cli.progress import Progress
from flows.cli.replay.log import ensure_log, log_topic, unpack
from flows.cli.replay.selection import DeadLetter, Filters, Replay, ReplayLog, Selection
from flows.cli.replay.writer import ReplayWriter
from flows.settings.load import load_settings
from flows.settings.model import Settings
from operators.columns.header_table import Headers
from operators.decode.timestamps import parse_rfc3339
from operators.errors import SettingsError

_VERDICTS = ("late", "invalid", "duplicate")
# A transaction costs some milliseconds; what it holds is in memory.
_BATCH_RECORDS = 1000
_BATCH_BYTES = 4_000_000
# At a rate, a transaction holds what half a second may bring.
_BATCH_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb to its parser."""
    parser.description = (
        "Write records of the late, invalid or duplicate topic to the input topic again, with the "
        "key, value, headers and timestamp they came with, and a header dedup.replays that counts. "
        "What was replayed is remembered, in the same transaction, in the topic "
        "<application id>-replayed: no record goes to one topic twice, however often this is run, "
        "killed or not. Note that the job judges a replayed record like any other: a late one is "
        "late again unless DEDUP_ALLOWED_LATENESS_SECONDS has grown, or --to names another topic. "
        "A duplicate would be a duplicate again: duplicates need --to."
    )
    parser.add_argument(
        "verdicts",
        nargs="+",
        choices=_VERDICTS,
        metavar="VERDICT",
        help="which records: late, invalid, duplicate (only with --to)",
    )
    parser.add_argument("--to", metavar="TOPIC", help="where to (default: DEDUP_INPUT_TOPIC)")
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        metavar="R",
        help="only invalid records with this reason, duplicates that matched this; repeatable",
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="K", help="only this record key; repeatable"
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="only records with a timestamp from then on (epoch seconds, or RFC 3339)",
    )
    parser.add_argument(
        "--until", type=_moment, metavar="TIME", help="only records with a timestamp before that"
    )
    parser.add_argument(
        "--max-replays",
        type=_positive,
        metavar="N",
        help="leave out what has been replayed N times and came back each time",
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="at most so many records")
    parser.add_argument("--rate", type=_rate, metavar="N", help="at most so many records a second")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be replayed, and write nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Replay and say what was done; return 0.

    Raises SettingsError, SourceError, SinkError or KafkaUnreachableError.
    """
    settings = load_settings()
    access = kafka_access(settings)
    if "duplicate" in args.verdicts and args.to in (None, settings.input_topic):
        msg = (
            f"replay duplicate: what goes back to {settings.input_topic} is a duplicate again, "
            "also after a false positive of a Bloom filter: name another topic with --to, that of "
            "its readers or of a job with other keys"
        )
        raise SettingsError(msg)
    topics = output_topics(settings)
    job = _Job(
        access=access,
        settings=settings,
        topics=[_topic(topics, verdict) for verdict in dict.fromkeys(args.verdicts)],
        to=args.to or settings.input_topic,
        filters=Filters(
            reasons=frozenset(args.reason),
            keys=frozenset(key.encode() for key in args.key),
            since=args.since,
            until=args.until,
            max_replays=args.max_replays,
        ),
        limit=args.limit or math.inf,
        rate=args.rate or math.inf,
    )
    for line in job.dry_run() if args.dry_run else job.replay():
        print(line, flush=True)
    return 0


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done.  rate: records a second.  limit, rate: infinite without one."""

    access: KafkaAccess
    settings: Settings
    topics: Sequence[str]
    to: str
    filters: Filters
    limit: float
    rate: float

    def partitions(self) -> int:
        """Number of the target's partitions.

        Raises SettingsError if it cannot be one, or if a topic to read is missing: before
        anything is created.
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

    def dry_run(self) -> Iterator[str]:
        """Say what `replay` would do."""
        self.partitions()
        with closing(TopicReader(self.access, Progress, timestamps=True)) as reader:
            replayed = self._replayed(reader)
            left = self.limit
            for topic in self.topics:
                selection = self._selection(replayed)
                for _ in self._picked(reader, topic, selection, left):
                    left -= 1
                yield _summary(topic, selection, f"would be replayed to {self.to}")

    def replay(self) -> Iterator[str]:
        """Replay, each transaction with the memory of what is in it."""
        partitions = self.partitions()
        ensure_log(self.access)
        access = fitted(self.access, None, [self.to, log_topic(self.settings.app_id)])
        writer = ReplayWriter(access, self.to, partitions)
        # Only now: what another run had under way is settled, the log's end is its end.
        with closing(TopicReader(self.access, Progress, timestamps=True)) as reader:
            replayed = self._replayed(reader)
            pace = _Pace(self.rate)
            left = self.limit
            for topic in self.topics:
                selection = self._selection(replayed)
                picked = self._picked(reader, topic, selection, left)
                for batch in _batches(picked, pace.batch_records):
                    writer.write(batch)
                    left -= len(batch)
                    pace.wait(len(batch))
                yield _summary(topic, selection, f"replayed to {self.to}")

    def _selection(self, replayed: ReplayLog) -> Selection:
        return Selection(self.settings.input_topic, self.to, self.filters, replayed)

    def _replayed(self, reader: TopicReader) -> ReplayLog:
        replayed = ReplayLog()
        topic = log_topic(self.settings.app_id)
        if reader.has(topic):
            for _, messages in reader.read(topic, reader.span(topic)):
                for message in messages:
                    unpack(message.value() or b"", replayed)
        return replayed

    def _picked(
        self, reader: TopicReader, topic: str, selection: Selection, limit: float
    ) -> Iterator[Replay]:
        """Yield what is to be replayed of a topic, up to a limit."""
        count = 0
        for _, messages in reader.read(topic, reader.span(topic)):
            for message in messages:
                if count >= limit:
                    return
                if (found := selection.pick(_dead(message))) is not None:
                    count += 1
                    yield found


class _Pace:
    """Keeps to a rate by waiting after each batch."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self._count = 0

    @property
    def batch_records(self) -> int:
        """How many records a batch may have."""
        return int(max(1, min(_BATCH_RECORDS, self._rate * _BATCH_SECONDS)))

    def wait(self, count: int) -> None:
        """Wait until so many more records are due."""
        self._count += count
        due = self._began + self._count / self._rate
        time.sleep(max(0.0, due - time.monotonic()))


def _batches(picked: Iterator[Replay], most: int) -> Iterator[list[Replay]]:
    """Cut into batches of at most so many records, and not too many bytes."""
    batch: list[Replay] = []
    size = 0
    for one in picked:
        batch.append(one)
        size += one.size
        if len(batch) >= most or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _dead(message: Message) -> DeadLetter:
    # Consumed messages have lists; the stubs also allow what can be produced.
    headers = cast("Headers", message.headers())
    return DeadLetter(message.value(), message.key(), headers, message.timestamp()[1])


def _topic(topics: dict[str, str], verdict: str) -> str:
    if not topics[verdict]:
        msg = f"DEDUP_{verdict.upper()}_TOPIC is empty: {verdict} records were counted and dropped"
        raise SettingsError(msg)
    return topics[verdict]


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


def _moment(text: str) -> float:
    """Epoch seconds of an option."""
    try:
        moment: float | None = float(text)
    except ValueError:
        moment = parse_rfc3339(text)
    if moment is None or not math.isfinite(moment):
        msg = f"{text!r} is neither epoch seconds nor RFC 3339 (2024-05-01T12:00:00Z)"
        raise argparse.ArgumentTypeError(msg)
    return moment


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        msg = f"{text!r} is not a whole number from 1 on"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        msg = f"{text!r} is not a number above 0"
        raise argparse.ArgumentTypeError(msg)
    return rate
