"""What an output record has to say of its verdict, whether in headers or in a line."""

from __future__ import annotations

import math
from collections.abc import Callable

from flows.cli.audit.decoding import CODE_OF
from flows.cli.audit.table import place_of
from flows.settings.model import Settings
from operators.similarity.near_duplicates import SIMILAR

Lacking = Callable[[str, str, str, float, bool], str]
"""Names what is missing or makes no sense, given verdict, what it matched or its reason,
original, number (of a late or similar record, NaN for none), and whether it is probable."""


def what_is_lacking(settings: Settings) -> Lacking:
    """Make the function that looks whether a record says why it has its verdict."""
    names = {key.name for key in settings.keys}
    bloom = settings.state == "bloom"

    def of_duplicate(matched: str, original: str, number: float, *, probable: bool) -> str:
        near = is_near(settings, matched, number)
        if not near and matched not in names:
            return "matched"
        if near and not 0.0 <= number <= 1.0:
            return "similarity"
        if bloom and not near:
            return "" if probable else "probable"
        return "original" if place_of(original) is None else ""

    def lacking(verdict: str, why: str, original: str, number: float, probable: bool) -> str:  # noqa: FBT001 - a column's value
        if verdict == "duplicate":
            return of_duplicate(why, original, number, probable=probable)
        if verdict == "late":
            return "" if number > 0.0 else "reason"
        if verdict == "invalid":
            return "" if why in CODE_OF else "reason"
        return ""

    return lacking


def is_near(settings: Settings, matched: str, number: float) -> bool:
    """Tell whether a duplicate says that it is a near one; a key may be called `similar` too."""
    if settings.similarity is None or matched != SIMILAR:
        return False
    return not math.isnan(number) or all(key.name != SIMILAR for key in settings.keys)


def finite(text: str) -> float:
    """Read a number; NaN for what is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
