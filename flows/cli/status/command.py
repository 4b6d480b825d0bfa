"""`dedup status`: what a running job does, in a terminal."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from flows.cli.status.text import lines_of
from flows.settings.load import load_settings
from flows.web.report import Report
from operators.errors import DedupError, SettingsError

_EVERY_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_NOT_WELL = 1
# Another screen, from the top, without a cursor; and back.
_BEGIN, _FRAME, _END = "\x1b[?1049h\x1b[?25l", "\x1b[H\x1b[J", "\x1b[?25h\x1b[?1049l"


class StatusError(DedupError):
    """What answers is not a process of the job."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb to its parser."""
    parser.description = (
        "Show what a running job does, from the ports of its processes (DEDUP_METRICS_PORT): "
        "throughput, verdicts, lag, keys, commits, lanes. Live on a terminal, until Ctrl-C; once, "
        "as plain lines, elsewhere. Exit status 0 if every process answers and is ready, else 1."
    )
    parser.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="http://HOST:PORT of a process, once for each (default: this machine, "
        "DEDUP_METRICS_PORT and the ports after it)",
    )
    parser.add_argument(
        "--processes",
        type=_positive,
        default=1,
        metavar="N",
        help="how many there are, on ports one after another (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="once, as a JSON list of the reports")
    parser.add_argument("--once", action="store_true", help="once, also on a terminal")


def run(args: argparse.Namespace) -> int:
    """Show the status; return the exit status.

    Raises SettingsError if it is not known whom to ask.
    """
    addresses = _addresses(args.url, args.processes)
    if args.json:
        reports, missing = _ask_all(addresses)
        print(json.dumps(reports, indent=2))
        print("\n".join(missing), end="\n" if missing else "", file=sys.stderr)
    elif args.once or not sys.stdout.isatty():
        reports, missing = _ask_all(addresses)
        print("\n".join(lines_of(reports, missing, curves=False)))
    else:
        _watch(addresses)
        return 0
    well = not missing and all(report["ready"] for report in reports)
    return 0 if well else _NOT_WELL


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        msg = f"{text!r} is not a whole number from 1 on"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _addresses(urls: Sequence[str] | None, processes: int) -> list[SplitResult]:
    if not urls:
        port = load_settings().metrics_port
        if port is None:
            msg = "DEDUP_METRICS_PORT is not set: name the processes with --url http://HOST:PORT"
            raise SettingsError(msg)
        urls = [f"http://127.0.0.1:{port + number}" for number in range(processes)]
    return [_address(url) for url in urls]


def _address(url: str) -> SplitResult:
    try:
        address = urlsplit(url if "://" in url else f"http://{url}")
        fits = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:
        fits = False
    if not fits:
        msg = f"--url {url}: write http://HOST:PORT"
        raise SettingsError(msg)
    return address


def _ask(address: SplitResult, *, history: bool) -> Report:
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    try:
        connection = kind(address.hostname or "", address.port, timeout=_ANSWER_SECONDS)
        try:
            query = "?history=1" if history else ""
            connection.request("GET", f"{address.path.rstrip('/')}/status{query}")
            report = json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, HTTPException) as error:
        msg = f"{address.geturl()} does not answer: {error}"
        raise StatusError(msg) from error
    except ValueError as error:
        msg = f"{address.geturl()} answers, but not as a process of the job does"
        raise StatusError(msg) from error
    if not isinstance(report, dict) or "app_id" not in report:
        msg = f"{address.geturl()} answers, but not as a process of the job does"
        raise StatusError(msg)
    return report


def _ask_all(
    addresses: Sequence[SplitResult], *, history: bool = False
) -> tuple[list[Report], list[str]]:
    """Reports of the processes that answer, and what is wrong with the others."""
    reports, missing = [], []
    with ThreadPoolExecutor(len(addresses)) as pool:
        for asked in [pool.submit(_ask, address, history=history) for address in addresses]:
            try:
                reports.append(asked.result())
            except StatusError as error:
                missing.append(str(error))
    return reports, missing


def _watch(addresses: Sequence[SplitResult]) -> None:
    """Draw again and again, until Ctrl-C."""
    sys.stdout.write(_BEGIN)
    try:
        while True:
            lines = lines_of(*_ask_all(addresses, history=True), curves=True)
            columns, rows = shutil.get_terminal_size()
            shown = [line[:columns] for line in lines[: rows - 2]]
            clock = time.strftime("%H:%M:%S")
            sys.stdout.write(_FRAME + os.linesep.join([*shown, "", f"{clock}  Ctrl-C ends this"]))
            sys.stdout.flush()
            time.sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        pass  # what it is for
    finally:
        sys.stdout.write(_END)
        sys.stdout.flush()
