"""The text by which near duplicates are compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter

from operators.keys.canonical_json import encode_canonical
from operators.keys.combination import MISSING

# Unicode's property White_Space.  `\s` and `str.split` also take U+001C to U+001F.
_SPACES = "\t-\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_RUN = re.compile(f"[ {_SPACES}]+")
# Texts that need a change: most texts have single spaces only.
_UNEVEN = re.compile(f"[{_SPACES}]|  ")

# Python sorts a run of combining marks by insertion, in quadratic time: a megabyte of
# marks would take minutes.  Up to these lengths that does not matter.
_LONG_TEXT = 2000
_LONG_RUN = 100
_LAST = 0x10FFFF


def text_of(values: Iterable[object]) -> str:
    """Return the text of the chosen fields, in their order, joined by newlines.

    values: JSON values as `decode_json` reads them, MISSING for a missing field (its newline
    stays: with fields a and b, a alone is not b alone).  A string stays as it is, other values
    become canonical JSON.  Then comes NFC, and each run of white space becomes one space,
    also at the ends.
    """
    return "\n".join(["" if value is MISSING else _normalize(_string(value)) for value in values])


def _string(value: object) -> str:
    return value if isinstance(value, str) else encode_canonical(value).decode()


def _normalize(text: str) -> str:
    if not text.isascii():
        text = nfc(text)
    return _RUN.sub(" ", text) if _UNEVEN.search(text) else text


def nfc(text: str) -> str:
    """Return a text in Normalization Form C, in linear time.  Source: UAX #15."""
    if len(text) > _LONG_TEXT:
        marks, mark_or_composed = _marks()
        if mark_or_composed.search(text):
            decomposed = text.translate(_Decomposed())
            # NFC asks for a stable sort by combining class.
            text = marks.sub(_sorted, decomposed)
    return unicodedata.normalize("NFC", text)


class _Decomposed(dict[int, str]):
    """Canonical decompositions of characters, each computed once."""

    def __missing__(self, code: int) -> str:
        self[code] = text = unicodedata.normalize("NFD", chr(code))
        return text


def _sorted(run: re.Match[str]) -> str:
    classes = sorted([(unicodedata.combining(mark), mark) for mark in run[0]], key=itemgetter(0))
    return "".join([mark for _, mark in classes])


@lru_cache(maxsize=1)
def _marks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns for runs of marks, and for long runs of marks and of what decomposes to marks."""
    marks, composed = [], []
    for code in range(_LAST + 1):
        char = chr(code)
        if unicodedata.combining(char):
            marks.append(char)
        elif unicodedata.decomposition(char):
            first = unicodedata.normalize("NFD", char)[0]
            if unicodedata.combining(first):
                composed.append(char)
    mark, either = "".join(marks), "".join(marks + composed)
    return re.compile(f"[{mark}]{{2,}}"), re.compile(f"[{either}]{{{_LONG_RUN},}}")
