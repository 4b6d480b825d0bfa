"""Texts to find near duplicates among: prose, and events made from a template."""

from __future__ import annotations

import random
from collections.abc import Callable

_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwz", "aeiou"
_VOCABULARY = 20_000
_AGENTS = tuple(f"Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Gecko" for number in range(9))


def _vocabulary(rng: random.Random) -> list[str]:
    def syllable() -> str:
        return rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(("", "", "n", "r"))

    words = ("".join(syllable() for _ in range(rng.randint(1, 4))) for _ in range(_VOCABULARY))
    return list(dict.fromkeys(words))


def prose(count: int, size: int, rng: random.Random) -> list[str]:
    """Texts of words as common as in a language: the n-th is 1/n as common as the first."""
    words = _vocabulary(rng)
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    pool = rng.choices(words, weights, k=1_000_000)
    least = size // 3 + 2

    def text() -> str:
        return " ".join(rng.choices(pool, k=least))[:size]

    return [text() for _ in range(count)]


def template(count: int, size: int, rng: random.Random) -> list[str]:
    """JSON of one form with ids, amounts and a short note, padded with more of the same."""
    words = _vocabulary(rng)[:1000]

    def order() -> str:
        return (
            f'{{"order":"{rng.getrandbits(48):012x}","customer":"u{rng.randrange(10**6):06d}",'
            f'"price":{rng.random() * 1000:.2f},"note":"{" ".join(rng.choices(words, k=4))}",'
            f'"agent":"{rng.choice(_AGENTS)}"}}'
        )

    texts = []
    for _ in range(count):
        text = order()
        while len(text) < size:
            text += order()
        texts.append(text[:size])
    return texts


KINDS: dict[str, Callable[[int, int, random.Random], list[str]]] = {
    "prose": prose,
    "template": template,
}


def with_typos(texts: list[str], live: int, share: float, rng: random.Random) -> None:
    """Make a share of the texts after the first `live` one of those, with one letter changed."""
    for place in range(live, len(texts)):
        if rng.random() < share:
            text = texts[place - rng.randrange(1, live)]
            at = rng.randrange(len(text))
            texts[place] = text[:at] + rng.choice("abcdefghij") + text[at + 1 :]
