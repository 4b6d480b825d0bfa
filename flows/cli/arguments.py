"""Types of arguments that several sub-commands have."""

from __future__ import annotations

import argparse


def positive_integer(text: str) -> int:
    """Read an argument that is a whole number from 1 on.  Raises ArgumentTypeError."""
    if not text.isdigit() or int(text) == 0:
        msg = f"{text!r} is not a whole number from 1 on"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
