"""`dedup`: the companion command.

A sub-command is a module, `flows/cli/NAME.py`, or a package with a module `command`,
`flows/cli/NAME/command.py`, and a line in `_COMMANDS`.  The module has two functions:
`add_arguments(parser)`, and `run(args)`, which returns the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from operators.errors import DedupError

_COMMANDS = {
    "generate": "make labelled event streams, to a file or to Kafka",
    "audit": "prove that every input record is answered exactly once",
    "replay": "give late, invalid or duplicate records another chance",
    "status": "show what a running job does",
    "config": "print the settings in effect",
}
"""Sub-commands, each with its line in `dedup --help`."""

_USER_ERROR = 2
# A shell reports 128 + the signal's number for a process that a signal ended.
_SIGNALLED = 128


def _load(command: str) -> ModuleType:
    """Import the module of a sub-command.

    Only the sub-command that runs is imported, so that `dedup --help` answers at once.
    """
    module = importlib.import_module(f"flows.cli.{command}")
    is_package = hasattr(module, "__path__")
    return importlib.import_module(f"flows.cli.{command}.command") if is_package else module


def _parser(running: str | None) -> argparse.ArgumentParser:
    """Make the parser.  Only the sub-command that runs gets its options."""
    parser = argparse.ArgumentParser(
        prog="dedup", description="Companion command of the deduplication job."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command, summary in _COMMANDS.items():
        command_parser = commands.add_parser(
            command, help=summary, description=f"{summary.capitalize()}."
        )
        if command == running:
            _load(command).add_arguments(command_parser)
    return parser


def _print_error(text: str) -> None:
    print(f"dedup: {' '.join(text.split())}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit status.

    argv: the arguments; None for those of the process.  Returns the sub-command's
    status.  An error that the user can fix gives 2, after one line on stderr.  Ctrl-C, or
    an output that nobody reads any more, gives 128 + the signal's number.
    Raises SystemExit for wrong arguments (2) and `--help` (0), as argparse does.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    args = _parser(words[0] if words else None).parse_args(words)
    try:
        status: int = _load(args.command).run(args)
        sys.stdout.flush()
    except DedupError as error:
        _print_error(str(error))
        return _USER_ERROR
    except KeyboardInterrupt:
        _print_error("interrupted")
        return _SIGNALLED + signal.SIGINT
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would print another error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGNALLED + signal.SIGPIPE
    return status
