"""`dedup`: the companion command.  Each verb is a module with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from operators.errors import DedupError

# Verb → module and one line for the overview.  A verb's module is imported only
# when it is asked for, so that `--help` answers at once.
_VERBS = {
    "generate": (
        "flows.cli.generate.command",
        "make labelled event streams, to a file or to Kafka",
    ),
    "audit": ("flows.cli.audit.command", "prove that every input record is answered exactly once"),
    "replay": (
        "flows.cli.replay.command",
        "give late, invalid or duplicate records another chance",
    ),
    "status": ("flows.cli.status.command", "show what a running job does"),
    "config": ("flows.cli.config", "print the settings in effect"),
}
_USER_ERROR = 2
# What a shell gives a process that died of the signal: 128 + its number.
_SIGNALLED = 128


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """Make the parser; only the wanted verb gets its options."""
    parser = argparse.ArgumentParser(
        prog="dedup", description="Companion command of the deduplicating job."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (module, summary) in _VERBS.items():
        verb_parser = verbs.add_parser(verb, help=summary, description=f"{summary.capitalize()}.")
        if verb == wanted:
            importlib.import_module(module).add_arguments(verb_parser)
    return parser


def _complain(text: str) -> None:
    print(f"dedup: {' '.join(text.split())}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit status.

    argv: the arguments, None for those of the process.  Returns what the verb
    returns; 2 after one line on stderr for an error that the user can mend, 128 +
    the signal's number after Ctrl-C or when nobody reads the output any more.
    Raises SystemExit for wrong arguments (2) and `--help` (0), as argparse does.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    args = _parser(words[0] if words else None).parse_args(words)
    try:
        status: int = importlib.import_module(_VERBS[args.verb][0]).run(args)
        sys.stdout.flush()
    except DedupError as error:
        _complain(str(error))
        return _USER_ERROR
    except KeyboardInterrupt:
        _complain("interrupted")
        return _SIGNALLED + signal.SIGINT
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGNALLED + signal.SIGPIPE
    return status
