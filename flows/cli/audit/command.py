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
    """Add the options of `dedup audit` to its parser."""
    parser.description = (
        "Read the input and the outputs that the settings name. Prove that every input record is "
        "answered exactly once, and that no key has two unique records within its window. Prove "
        "that verdicts, reasons and originals are possible, and that no transaction hangs. Exit "
        "status 0 if all that is true, else 1. Let the job finish first: records that it has not "
        "answered yet are reported."
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="file that `dedup generate --labels` wrote (default on Kafka: label headers)",
    )
    parser.add_argument(
        "--least-detection",
        type=float,
        metavar="SHARE",
        help="exit status 1 also if, for any label, a smaller share of records has the expected "
        "verdict",
    )
    parser.add_argument(
        "--show",
        type=int,
        default=5,
        metavar="N",
        help="number of examples for each kind of fault (default: %(default)s)",
    )
    parser.add_argument(
        "--allowed-lateness",
        type=_seconds,
        action="append",
        default=[],
        metavar="SECONDS",
        help="another DEDUP_ALLOWED_LATENESS_SECONDS that the job had when it judged some of the "
        "records; repeatable: the smallest and the largest value count",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="Kafka: how long to wait for open transactions to end (default: %(default)s)",
    )
    parser.add_argument(
        "--ignore-timestamps",
        action="store_true",
        help="Kafka: for output topics whose broker sets the timestamps (LogAppendTime)",
    )


def run(args: argparse.Namespace) -> int:
    """Audit and print the report; return 0 if nothing is wrong, else 1.

    Raises SettingsError, SourceError or KafkaUnreachableError if the audit is not possible.
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
    min_rate = args.least_detection
    below = [row.label for row in rows if min_rate is not None and row.rate < min_rate]
    if below:
        print(f"below {min_rate:.3%}: {', '.join(below)}")
    return _WRONG if proof.findings or below else 0


def audit(settings: Settings, options: AuditOptions) -> Proof:
    """Audit the files or topics that the settings name; see `audit_files` and `audit_kafka`."""
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
    """Yield the lines of the report: counts, labels, notes, findings, and the conclusion."""
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
        which = "every input record" if not proof.dropped else "every input record not dropped"
        unique = int((table.verdicts == UNIQUE).sum())
        yield f"ok: {which} is answered exactly once; {unique:,} unique"
