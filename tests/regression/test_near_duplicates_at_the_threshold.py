"""Pairs that are exactly as similar as the threshold were missed: 1 − 7 / 100 is less than 0.93."""

import random
import string

import numpy as np
import pytest

from operators.similarity.near_duplicates import NearSpec
from tests.model import levenshtein


def pair(length: int, edits: int, draw: random.Random) -> list[str]:
    """Two texts that are exactly so many edits apart: the second has as many digits, no others."""
    text = draw.choices(string.ascii_letters, k=length)
    other = list(text)
    for place in draw.sample(range(length), edits):
        other[place] = draw.choice(string.digits)
    return ["".join(text), "".join(other)]


@pytest.mark.parametrize("hundreds", [1, 2, 3, 10])
def test_a_pair_exactly_at_a_threshold_of_two_decimals_is_found(hundreds: int) -> None:
    draw = random.Random(hundreds)
    length = 100 * hundreds
    missed, wrong = [], []
    for percent in range(1, 101):
        threshold = float(f"{percent / 100:.2f}")
        index = NearSpec(threshold, "levenshtein", "3c", 300.0, 1000, one_shard=True).index()
        edits = (100 - percent) * hundreds
        # One more edit is one too many.
        texts = [*pair(length, edits, draw), *pair(length, min(edits + 1, length), draw)]
        search = index.search(texts, np.zeros(4), np.zeros((4, 2), np.uint64), np.arange(4))
        found = []
        for row in range(4):
            near = search.find(row)
            found.append(None if near is None else (near.reference, near.similarity))
            if near is None:
                search.keep(row)
        if found[1] is None or found[1][1] != threshold:
            missed.append((threshold, found[1]))
        if found[3] is not None and found[3][0] == 2:
            wrong.append((threshold, found[3]))
    assert missed == []
    assert wrong == []


def test_the_model_has_it_too() -> None:
    one, other = pair(100, 7, random.Random(7))
    assert levenshtein(one, other) == 0.93
    assert repr(levenshtein(one, other)) == "0.93"  # as it is written to dedup.similarity
