"""The fields that an answer must have, whether in headers or in a line of a file.

An answer is a record of a duplicate, late or invalid output.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flows.cli.audit.decoding import CODE_OF
from flows.cli.audit.table import place_of
from flows.settings.model import Settings
from operators.similarity.near_duplicates import SIMILAR

MissingField = Callable[[str, str, str, float, bool], str]
"""Names a field that is missing or wrong; empty for none.

Its arguments: the verdict; the matched combination, or the reason; the original; the
similarity of a near duplicate or the seconds of a late record, NaN for none; and whether
the answer is marked as probable.
"""


def missing_field_finder(settings: Settings) -> MissingField:
    """Make the function that finds a missing field of an answer."""
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

    def missing_field(
        verdict: str,
        why: str,
        original: str,
        number: float,
        probable: bool,  # noqa: FBT001 - a column's value
    ) -> str:
        if verdict == "duplicate":
            return of_duplicate(why, original, number, probable=probable)
        if verdict == "late":
            return "" if number > 0.0 else "reason"
        if verdict == "invalid":
            return "" if why in CODE_OF else "reason"
        return ""

    return missing_field


def is_near(settings: Settings, matched: str, number: float) -> bool:
    """Whether an answer is of a near duplicate.

    A key may be called `similar` too; then the similarity tells them apart.
    """
    if settings.similarity is None or matched != SIMILAR:
        return False
    return not math.isnan(number) or all(key.name != SIMILAR for key in settings.keys)


def finite(text: str) -> float:
    """Read a number; NaN for a text that is no number, or not a finite one."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
