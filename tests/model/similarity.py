"""How alike two events are, by brute force."""

import re
import unicodedata
from collections.abc import Hashable, Sequence

from tests.model.json_values import Json, canonical_text
from tests.model.records import Settings

# Unicode's property White_Space (PropList.txt).  Python's \s also takes U+001C to U+001F.
_WHITE_SPACE = re.compile(
    "[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
)


def text_of(fields: Sequence[tuple[Json] | None]) -> str:
    """Return the text that is compared; None stands for a missing field."""
    # Choice: a missing field leaves its newline: with fields a and b, a alone is not b alone.
    return "\n".join(["" if value is None else normal(_plain(value[0])) for value in fields])


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else canonical_text(value)


def normal(text: str) -> str:
    """NFC with runs of white space as one space; spaces at the ends stay."""
    return _WHITE_SPACE.sub(" ", unicodedata.normalize("NFC", text))


def similarity(one: str, other: str, settings: Settings) -> float:
    """Similarity of two texts in [0, 1]."""
    if settings.similarity_metric == "levenshtein":
        return levenshtein(one, other)
    return jaccard(one, other, settings.shingle)


def jaccard(one: str, other: str, shingle: str) -> float:
    """Size of the intersection over size of the union, of the sets of shingles."""
    a, b = shingles(one, shingle), shingles(other, shingle)
    return len(a & b) / len(a | b)


def shingles(text: str, shingle: str) -> set[Hashable]:
    """Return the set of `Nc` or `Nw` shingles; a text shorter than one is its own."""
    size = int(shingle[:-1])
    units: Sequence[str] = text if shingle.endswith("c") else _words(text)
    if len(units) < size:
        return {text}
    return {tuple(units[start : start + size]) for start in range(len(units) - size + 1)}


def _words(text: str) -> list[str]:
    # Choice: letters are Unicode's categories L*, digits Nd; marks, ½ and _ part words.
    kept = [
        char if unicodedata.category(char)[0] == "L" or unicodedata.category(char) == "Nd" else " "
        for char in text
    ]
    return "".join(kept).split()


def levenshtein(one: str, other: str) -> float:
    """Share of the longer text's code points that need no edit: one division, rounded once."""
    longer = max(len(one), len(other))
    return 1.0 if longer == 0 else (longer - distance(one, other)) / longer


def distance(one: str, other: str) -> int:
    """Count insertions, deletions and replacements (Wagner & Fischer 1974)."""
    row = list(range(len(other) + 1))
    for i, char in enumerate(one, 1):
        before, row = row, [i]
        for j, wanted in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (char != wanted)))
    return row[-1]
