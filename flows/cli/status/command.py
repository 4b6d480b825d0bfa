"""`dedup status`: show what a running job does."""

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

from flows.cli.arguments import positive_integer
from flows.cli.status.text import Report, lines_of
from flows.settings.load import load_settings
from operators.errors import DedupError, SettingsError

_REFRESH_SECONDS = 2.0
_TIMEOUT_SECONDS = 5.0
_NOT_WELL = 1
# Escape sequences: switch to the alternate screen and hide the cursor; clear for the next
# frame; show the cursor and switch back.
_BEGIN, _FRAME, _END = "\x1b[?1049h\x1b[?25l", "\x1b[H\x1b[J", "\x1b[?25h\x1b[?1049l"


class StatusError(DedupError):
    """A process of the job does not answer, or something else answers in its place."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dedup status` to its parser."""
    parser.description = (
        "Show what a running job does, from the ports of its processes (DEDUP_METRICS_PORT): "
        "throughput, verdicts, lag, keys, commits, lanes. On a terminal the display is live, until "
        "Ctrl-C; elsewhere the status is printed once, as plain lines. Exit status 0 if every "
        "process answers and is ready, else 1."
    )
    parser.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="http://HOST:PORT of a process; repeat it for each process (default: this machine, "
        "DEDUP_METRICS_PORT and the ports after it)",
    )
    parser.add_argument(
        "--processes",
        type=positive_integer,
        default=1,
        metavar="N",
        help="number of processes, on consecutive ports (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the reports once, as a JSON list"
    )
    parser.add_argument(
        "--once", action="store_true", help="print the status once, also on a terminal"
    )


def run(args: argparse.Namespace) -> int:
    """Show the status; return the exit status.

    Raises SettingsError if the addresses of the processes are not known.
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


def _addresses(urls: Sequence[str] | None, processes: int) -> list[SplitResult]:
    if not urls:
        port = load_settings().metrics_port
        if port is None:
            msg = "DEDUP_METRICS_PORT is not set: name the processes with --url http://HOST:PORT"
            raise SettingsError(msg)
        urls = [f"http://127.0.0.1:{port + process}" for process in range(processes)]
    return [_address(url) for url in urls]


def _address(url: str) -> SplitResult:
    try:
        address = urlsplit(url if "://" in url else f"http://{url}")
        valid = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:
        valid = False
    if not valid:
        msg = f"--url {url}: write http://HOST:PORT"
        raise SettingsError(msg)
    return address


def _ask(address: SplitResult, *, history: bool) -> Report:
    connection_type = HTTPSConnection if address.scheme == "https" else HTTPConnection
    try:
        connection = connection_type(address.hostname or "", address.port, timeout=_TIMEOUT_SECONDS)
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
    """Reports of the processes that answer, and a line for each of the others."""
    reports, missing = [], []
    with ThreadPoolExecutor(len(addresses)) as pool:
        for answer in [pool.submit(_ask, address, history=history) for address in addresses]:
            try:
                reports.append(answer.result())
            except StatusError as error:
                missing.append(str(error))
    return reports, missing


def _watch(addresses: Sequence[SplitResult]) -> None:
    """Redraw the screen until Ctrl-C."""
    sys.stdout.write(_BEGIN)
    try:
        while True:
            lines = lines_of(*_ask_all(addresses, history=True), curves=True)
            columns, rows = shutil.get_terminal_size()
            shown = [line[:columns] for line in lines[: rows - 2]]
            clock = time.strftime("%H:%M:%S")
            sys.stdout.write(_FRAME + os.linesep.join([*shown, "", f"{clock}  Ctrl-C ends this"]))
            sys.stdout.flush()
            time.sleep(_REFRESH_SECONDS)
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        sys.stdout.write(_END)
        sys.stdout.flush()
