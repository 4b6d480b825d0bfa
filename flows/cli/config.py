"""`dedup config`: show the settings in effect."""

from __future__ import annotations

import argparse
import json
import sys

import yaml

from flows.cli.tables import setting_lines
from flows.settings.load import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `dedup config` to its parser."""
    parser.description = (
        "Show the settings in effect, from the environment and the file named by DEDUP_CONFIG, "
        "in the form of that file. Secrets are masked."
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    form.add_argument("--table", action="store_true", help="print a Markdown table of all settings")


def run(args: argparse.Namespace) -> int:
    """Print the settings; return the exit status.

    Raises SettingsError for wrong settings.
    """
    if args.table:
        print(*setting_lines(), sep="\n")
        return 0
    settings = load_settings().effective()
    if args.json:
        text = json.dumps(settings, indent=2) + "\n"
    else:
        # Each list on one line, as in the guide.
        text = yaml.safe_dump(
            settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10_000
        )
    sys.stdout.write(text)
    return 0
