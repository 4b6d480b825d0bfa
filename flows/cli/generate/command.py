"""`dedup generate`: make a labelled stream of events, in a file or on Kafka."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, get_args, get_type_hints

import msgspec

from flows.cli.generate.kafka import KafkaTarget, open_target
from flows.cli.generate.options import Labelled, StreamOptions
from flows.cli.generate.stream import generate
from flows.cli.progress import Progress
from flows.settings.load import load_settings
from operators.errors import SettingsError, SinkError

STDOUT = "-"
# Time between batches at a rate: short enough for measurements of latency.
_TICK_SECONDS = 0.005
_BATCH = 1000
# The default of DEDUP_MAX_FUTURE_SECONDS.
_MAX_FUTURE_SECONDS = 86_400
_DEFAULT_PARTITIONS = 4


class _Option(NamedTuple):
    """An option with a number, and its field of StreamOptions."""

    name: str
    field: str
    metavar: str
    help: str


_OPTIONS = (
    _Option("records", "records", "N", "number of records"),
    _Option("seed", "seed", "N", "the same seed and options give the same records"),
    _Option(
        "duplicates",
        "duplicates",
        "SHARE",
        "exact repeats, 0 to 1: most within a few records, some later",
    ),
    _Option("same-content", "same_content", "SHARE", "repeats with another event_id and timestamp"),
    _Option(
        "same-other-key",
        "same_other_key",
        "SHARE",
        "repeats of user_id, event_type and data.order_id; all else differs",
    ),
    _Option("near", "near", "SHARE", "repeats with another event_id, and a typo in data"),
    _Option(
        "late", "late", "SHARE", "records behind the watermark by more than the allowed lateness"
    ),
    _Option(
        "invalid",
        "invalid",
        "SHARE",
        "invalid records, for every reason that default settings give",
    ),
    _Option("users", "users", "N", "number of users"),
    _Option(
        "skew",
        "skew",
        "EXPONENT",
        "exponent of the Zipf distribution of records over users; 0: equal shares",
    ),
    _Option("start", "start", "EPOCH", "event time of the first record, epoch seconds"),
    _Option("step", "step_seconds", "SECONDS", "event time from one record to the next"),
    _Option(
        "out-of-order",
        "out_of_order_seconds",
        "SECONDS",
        "largest distance of event times out of order",
    ),
    _Option(
        "allowed-lateness",
        "allowed_lateness_seconds",
        "SECONDS",
        "the job's setting for which the labels are right",
    ),
    _Option(
        "window",
        "window_seconds",
        "SECONDS",
        "the job's tumbling window for which the labels are right",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dedup generate` to its parser."""
    parser.description = (
        "Make a seeded stream of e-commerce events with labels: unique, duplicate, late, invalid "
        "and so on. A label is never in the event itself: on Kafka it is in headers (label, "
        "label-of), and --labels writes the labels to a file."
    )
    defaults = StreamOptions()
    types = get_type_hints(StreamOptions)
    for option in _OPTIONS:
        parser.add_argument(
            f"--{option.name}",
            dest=option.field,
            type=types[option.field],
            default=getattr(defaults, option.field),
            metavar=option.metavar,
            help=f"{option.help} (default: %(default)s)",
        )
    parser.add_argument(
        "--format",
        dest="time_format",
        choices=get_args(types["time_format"]),
        default=defaults.time_format,
        help="how timestamps are written (default: %(default)s)",
    )
    parser.add_argument(
        "--key",
        dest="record_key",
        choices=get_args(types["record_key"]),
        default=defaults.record_key,
        help="the field that becomes the record's key on Kafka (default: %(default)s)",
    )
    parser.add_argument(
        "--rate", type=float, metavar="N", help="records a second (default: no limit)"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--output",
        metavar="FILE",
        help="write lines to a file, or - for stdout (default, unless DEDUP_BROKERS is set)",
    )
    target.add_argument(
        "--brokers", metavar="HOST:PORT,…", help="write to Kafka (default: DEDUP_BROKERS)"
    )
    parser.add_argument("--topic", metavar="TOPIC", help="Kafka topic (default: DEDUP_INPUT_TOPIC)")
    parser.add_argument(
        "--partitions",
        type=int,
        default=_DEFAULT_PARTITIONS,
        metavar="N",
        help="partition count of a topic that has to be created (default: %(default)s)",
    )
    parser.add_argument(
        "--no-label-headers",
        dest="label_headers",
        action="store_false",
        help="Kafka: leave out the label headers",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="write the labels to this file: JSON lines with index, label, original, event_id, "
        "partition and offset",
    )


def run(args: argparse.Namespace) -> int:
    """Generate a stream, write it, and return 0.

    Raises SettingsError for options that cannot be met, SinkError if the target
    cannot be written.
    """
    names = [field.name for field in fields(StreamOptions)]
    options = StreamOptions(**{name: getattr(args, name) for name in names if name in args})
    if options.end > time.time() + _MAX_FUTURE_SECONDS:
        msg = (
            f"--start {options.start}: event times would reach into the future, and such "
            "records are invalid; begin earlier, or make --step or --records smaller"
        )
        raise SettingsError(msg)
    if args.rate is not None and not args.rate > 0:
        msg = f"--rate {args.rate} must be more than 0"
        raise SettingsError(msg)
    with ExitStack() as stack:
        labels = stack.enter_context(_open(args.labels)) if args.labels else None
        settings = None if args.output else load_settings(_environ(args.brokers))
        if settings is not None and settings.brokers:
            target = open_target(settings, args.topic or settings.input_topic, args.partitions)
            options = replace(options, partitions=target.partitions, tombstones=True)
            _to_kafka(options, args, target, labels)
            return 0
        if args.topic:
            msg = f"--topic {args.topic} needs Kafka: set --brokers or DEDUP_BROKERS"
            raise SettingsError(msg)
        options = replace(options, partitions=1, tombstones=False)
        output = args.output or STDOUT
        lines = sys.stdout.buffer if output == STDOUT else stack.enter_context(_open(Path(output)))
        _to_file(options, args.rate, lines, labels)
    return 0


def _environ(brokers: str | None) -> dict[str, str]:
    """Environment to load the settings from, with the brokers of the command line."""
    return {**os.environ, "DEDUP_BROKERS": brokers} if brokers else dict(os.environ)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror}"
        raise SinkError(msg) from error


def _to_file(
    options: StreamOptions, rate: float | None, lines: BinaryIO, labels: BinaryIO | None
) -> None:
    """Write one line a record, so that its offset is its index."""
    with Progress("generated", options.records) as progress:
        for batch in paced(generate(options), rate):
            try:
                lines.write(b"".join((record.value or b"") + b"\n" for record in batch))
                if rate is not None:
                    lines.flush()
                if labels is not None:
                    labels.writelines(label_line(record, record.index) for record in batch)
            except BrokenPipeError:
                raise
            except OSError as error:
                msg = f"cannot write {getattr(lines, 'name', 'the output')}: {error.strerror}"
                raise SinkError(msg) from error
            progress.add(len(batch))


def _to_kafka(
    options: StreamOptions, args: argparse.Namespace, target: KafkaTarget, labels: BinaryIO | None
) -> None:
    def write_label(record: Labelled, offset: int) -> None:
        if labels is not None:
            labels.write(label_line(record, offset))

    on_delivery = None if labels is None else write_label
    with Progress("generated", options.records) as progress:
        for batch in paced(generate(options), args.rate):
            target.write(batch, headers=args.label_headers, on_delivery=on_delivery)
            progress.add(len(batch))
        target.finish()


def label_line(record: Labelled, offset: int) -> bytes:
    """Make a record's line of the labels file.  offset: of the written record."""
    line: dict[str, object] = {"index": record.index, "label": record.label}
    if record.repeats is not None:
        line["original"] = record.repeats
    line |= {"event_id": record.event_id, "partition": record.partition, "offset": offset}
    if record.reason is not None:
        line["reason"] = record.reason
    return msgspec.json.encode(line) + b"\n"


def paced(records: Iterable[Labelled], rate: float | None) -> Iterator[list[Labelled]]:
    """Cut a stream into batches.  rate: records a second; None for no limit."""
    records = iter(records)
    began = time.monotonic()
    count = 0
    due = _BATCH
    while True:
        if rate is not None:
            due = int((time.monotonic() - began) * rate) + 1 - count
            if due <= 0:
                time.sleep(max(_TICK_SECONDS, (count / rate) - (time.monotonic() - began)))
                continue
        batch = list(islice(records, min(due, _BATCH)))
        if not batch:
            return
        count += len(batch)
        yield batch
