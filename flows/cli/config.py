"""`dedup config`: show the settings that are in effect."""

from __future__ import annotations

import argparse
import json
import sys

import yaml

from flows.cli.tables import table_lines
from flows.settings.load import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb to its parser."""
    parser.description = (
        "Show the settings in effect, from the environment and the file named by DEDUP_CONFIG, "
        "as that file would have them. Secrets are masked."
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    form.add_argument(
        "--table", action="store_true", help="print all settings there are, as a Markdown table"
    )


def run(args: argparse.Namespace) -> int:
    """Print the settings; return the exit status.

    Raises SettingsError if they are wrong.
    """
    if args.table:
        print(*table_lines(), sep="\n")
        return 0
    settings = load_settings().effective()
    if args.json:
        text = json.dumps(settings, indent=2) + "\n"
    else:
        # Lists in one line, as in the guide.
        text = yaml.safe_dump(
            settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10_000
        )
    sys.stdout.write(text)
    return 0
