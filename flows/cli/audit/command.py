"""`dedup audit`: prove that every input record is answered exactly once."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from flows.cli.audit.files import audit_files
from flows.cli.audit.kafka import audit_kafka
from flows.cli.audit.labels import LabelRow, label_rows, label_table
from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
from flows.settings.load import load_settings
from flows.settings.model import Settings
from operators.verdicts import UNIQUE, VERDICTS

_WRONG = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb to its parser."""
    parser.description = (
        "Read the input and the outputs that the settings name, and prove that every input record "
        "is answered exactly once, that no key has two unique records within its window, that "
        "verdicts, reasons and originals are possible, and that no transaction hangs. Exit status "
        "0 if all that holds, 1 if not. Let the job finish first: input that it has not answered "
        "yet is reported."
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="labels that `dedup generate --labels` wrote (default on Kafka: label headers)",
    )
    parser.add_argument(
        "--least-detection",
        type=float,
        metavar="SHARE",
        help="exit 1 also if fewer of any label's records have the verdict they should have",
    )
    parser.add_argument(
        "--show",
        type=int,
        default=5,
        metavar="N",
        help="name so many offenders of each kind (default: %(default)s)",
    )
    parser.add_argument(
        "--allowed-lateness",
        type=_seconds,
        action="append",
        default=[],
        metavar="SECONDS",
        help="another DEDUP_ALLOWED_LATENESS_SECONDS under which some records were judged, besides "
        "that of now; repeatable, the smallest and the largest count",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="Kafka: wait so long for open transactions to end (default: %(default)s)",
    )
    parser.add_argument(
        "--ignore-timestamps",
        action="store_true",
        help="Kafka: for output topics that stamp records themselves (LogAppendTime)",
    )


def run(args: argparse.Namespace) -> int:
    """Audit and print what was found; return 0 if nothing is wrong, 1 otherwise.

    Raises SettingsError, SourceError or KafkaUnreachableError where it cannot be told.
    """
    settings = load_settings()
    options = AuditOptions(
        labels=args.labels,
        show=args.show,
        lateness=args.allowed_lateness,
        patience_seconds=args.patience,
        ignore_timestamps=args.ignore_timestamps,
    )
    proof = audit(settings, options)
    rows = label_rows(proof.table, settings)
    for line in report(proof, rows):
        print(line)
    least = args.least_detection
    poor = [row.label for row in rows if least is not None and row.rate < least]
    if poor:
        print(f"below {least:.3%}: {', '.join(poor)}")
    return _WRONG if proof.findings or poor else 0


def audit(settings: Settings, options: AuditOptions) -> Proof:
    """Audit the files or topics of these settings; see `audit_files` and `audit_kafka`."""
    return (audit_files if settings.embedded else audit_kafka)(settings, options)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        msg = f"{text!r} is not a number of seconds, 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def report(proof: Proof, rows: list[LabelRow]) -> Iterator[str]:
    """Lines of the report: figures, labels, notes, findings, and a last line that sums up."""
    table = proof.table
    yield f"{'input':<10}{len(table):>14,}  in {len(table.ranges)} partition(s)"
    for code, verdict in enumerate(VERDICTS):
        if code in proof.dropped:
            yield f"{verdict:<10}{'dropped':>14}"
        else:
            yield f"{verdict:<10}{proof.answered.get(code, 0):>14,}"
    if rows:
        yield ""
        yield from label_table(rows)
    if proof.notes:
        yield ""
        yield from (f"note: {note}" for note in dict.fromkeys(proof.notes))
    yield ""
    if proof.findings:
        yield from proof.findings.lines()
        yield "NOT PROVED: see above"
    else:
        what = "every input record" if not proof.dropped else "every input record not dropped"
        unique = int((table.verdicts == UNIQUE).sum())
        yield f"ok: {what} is answered exactly once; {unique:,} unique"
