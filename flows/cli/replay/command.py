"""`dedup replay`: give late, invalid or duplicate records another chance, each once."""

from __future__ import annotations

import argparse
import math

from flows.assembly.specs import kafka_access, output_topics
from flows.cli.arguments import positive_integer
from flows.cli.replay.job import ReplayJob
from flows.cli.replay.selection import Filters
from flows.settings.load import load_settings
from operators.decode.timestamps import parse_rfc3339
from operators.errors import SettingsError

_VERDICTS = ("late", "invalid", "duplicate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dedup replay` to its parser."""
    parser.description = (
        "Write records of the late, invalid or duplicate topic to the input topic again. Key, "
        "value, headers and timestamp are those of the input record; a header dedup.replays counts "
        "the replays. "
        "The topic <application id>-replayed remembers what was replayed, in the same "
        "transaction: no record goes to one topic twice, however often this command is run or "
        "killed. The job judges a replayed record like any other: a late one is "
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
    parser.add_argument(
        "--to", metavar="TOPIC", help="topic to write to (default: DEDUP_INPUT_TOPIC)"
    )
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        metavar="R",
        help="only invalid records with this reason, or duplicates that matched this combination; "
        "repeatable",
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="K", help="only this record key; repeatable"
    )
    parser.add_argument(
        "--since",
        type=_time,
        metavar="TIME",
        help="only records with this timestamp or a later one (epoch seconds, or RFC 3339)",
    )
    parser.add_argument(
        "--until", type=_time, metavar="TIME", help="only records with an earlier timestamp"
    )
    parser.add_argument(
        "--max-replays",
        type=positive_integer,
        metavar="N",
        help="leave out records that were replayed N times and came back each time",
    )
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", help="replay at most N records"
    )
    parser.add_argument("--rate", type=_rate, metavar="N", help="replay at most N records a second")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be replayed, and write nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Replay, print a line for each topic, and return 0.

    Raises SettingsError, SourceError, SinkError or KafkaUnreachableError.
    """
    settings = load_settings()
    access = kafka_access(settings)
    if "duplicate" in args.verdicts and args.to in (None, settings.input_topic):
        msg = (
            f"replay duplicate: a record that goes back to {settings.input_topic} is a duplicate "
            "again, even after a false positive of a Bloom filter. Name another topic with --to: "
            "the unique topic, or the input of a job with other keys"
        )
        raise SettingsError(msg)
    topics = output_topics(settings)
    job = ReplayJob(
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


def _topic(topics: dict[str, str], verdict: str) -> str:
    if not topics[verdict]:
        msg = f"DEDUP_{verdict.upper()}_TOPIC is empty: {verdict} records were counted and dropped"
        raise SettingsError(msg)
    return topics[verdict]


def _time(text: str) -> float:
    """Read an argument that is a time, as epoch seconds.  Raises ArgumentTypeError."""
    try:
        time: float | None = float(text)
    except ValueError:
        time = parse_rfc3339(text)
    if time is None or not math.isfinite(time):
        msg = f"{text!r} is neither epoch seconds nor RFC 3339 (2024-05-01T12:00:00Z)"
        raise argparse.ArgumentTypeError(msg)
    return time


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        msg = f"{text!r} is not a number above 0"
        raise argparse.ArgumentTypeError(msg)
    return rate
