"""Real texts for near duplicates: what the installed packages say of themselves.

Licences come in many copies with other names and years, descriptions in several
languages; nothing is fetched, and no place on this machine is named.
"""

import random
import re
from functools import lru_cache
from importlib import metadata
from pathlib import Path

_TEXT_FILE = re.compile(
    r"(licen[cs]e|copying|notice|authors|changes|changelog|readme)", re.IGNORECASE
)
_MAX_LENGTH = 1200


@lru_cache(maxsize=1)
def paragraphs() -> tuple[str, ...]:
    """Return paragraphs of licences, changelogs and descriptions, in a fixed order."""
    all_paragraphs: list[str] = []
    for distribution in sorted(
        metadata.distributions(), key=lambda distribution: str(distribution.metadata["Name"])
    ):
        texts = [str(distribution.metadata.json.get("description", ""))]
        for file in distribution.files or ():
            if _TEXT_FILE.search(file.name) and file.suffix in {"", ".txt", ".md", ".rst"}:
                path = Path(str(file.locate()))
                if path.is_file():
                    texts.append(path.read_text("utf-8", "replace"))
        for text in texts:
            all_paragraphs += [part.strip()[:_MAX_LENGTH] for part in re.split(r"\n\s*\n", text)]
    return tuple(part for part in all_paragraphs if part)


def real_texts(count: int, rng: random.Random) -> list[str]:
    """Choose paragraphs at random; one may be chosen twice."""
    return rng.choices(paragraphs(), k=count)


def generated_texts(count: int, rng: random.Random) -> list[str]:
    """Make texts of all lengths with few different letters; many are edits of another text."""
    texts: list[str] = []
    for _ in range(count):
        if texts and rng.random() < 0.6:
            texts.append(edited(rng.choice(texts), rng.choice([0, 1, 1, 2, 3, 5, 9, 20]), rng))
        else:
            length = rng.choice([0, 1, 2, 3, 4, 10, 20, 40, 100, 200, 400])
            texts.append("".join(rng.choices("abcdefgh   é😀", k=length)))
    return texts


def edited(text: str, edits: int, rng: random.Random) -> str:
    """Insert, replace or delete some characters, or swap two words."""
    letters = list(text)
    for _ in range(edits):
        at = rng.randrange(len(letters) + 1)
        kind = rng.choice("irds")
        if kind == "i" or at == len(letters):
            letters.insert(at, rng.choice("abcxyz 1é"))
        elif kind == "r":
            letters[at] = rng.choice("abcxyz 1é")
        elif kind == "d":
            del letters[at]
        else:
            words = "".join(letters).split(" ")
            left, right = rng.randrange(len(words)), rng.randrange(len(words))
            words[left], words[right] = words[right], words[left]
            letters = list(" ".join(words))
    return "".join(letters)
