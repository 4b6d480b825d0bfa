"""The model on near duplicates: texts, both measures, and what comes first."""

from dataclasses import replace
from typing import Any

import pytest

from tests.model import (
    Settings,
    Verdict,
    jaccard,
    levenshtein,
    normal,
    shingles,
)
from tests.model.builders import OPEN, verdicts


def test_normal_text() -> None:
    assert normal("e\u0301 \u00a0\t\r\n\u3000B ") == "\u00e9 B "
    assert normal("a\x1cb") == "a\x1cb"  # no White_Space in Unicode


@pytest.mark.parametrize(
    "one, other, shingle, expected",
    [
        ("", "", "3c", 1),
        ("", "abc", "3c", 0),
        ("ab", "ab", "3c", 1),
        ("ab", "ba", "3c", 0),
        ("abcd", "abcx", "3c", 1 / 3),
        ("aaaa", "aaa", "3c", 1),  # sets
        ("one two three", "one, two; three!", "2w", 1),
        ("one two three", "one two four", "2w", 1 / 3),
        ("one", "one!", "2w", 0),  # shorter than one shingle: its own
        ("one", "one!", "1w", 1),
        ("ab cd", "abc d", "1w", 0),
        ("A1", "a1", "1w", 0),  # case kept
    ],
)
def test_jaccard(one: str, other: str, shingle: str, expected: float) -> None:
    assert jaccard(one, other, shingle) == jaccard(other, one, shingle) == expected


def test_shingles() -> None:
    assert shingles("abab", "2c") == {("a", "b"), ("b", "a")}


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("", "", 1),
        ("", "a", 0),
        ("kitten", "sitting", 1 - 3 / 7),
        ("ab", "ba", 0),
        ("😀😀", "😀", 0.5),  # code points
        ("abc", "xabc", 0.75),
    ],
)
def test_levenshtein(one: str, other: str, expected: float) -> None:
    assert levenshtein(one, other) == levenshtein(other, one) == expected


NEAR = replace(
    OPEN,
    similarity=0.75,
    similarity_metric="levenshtein",
    similarity_fields=("x",),
    similarity_seconds=5,
    window_seconds=1,
)


@pytest.mark.parametrize(
    "settings, events, expected",
    [
        (NEAR, [(1, "abcd"), (1, "abcx")], [None, (0, 0.75)]),  # at the threshold
        (NEAR, [(1, "abc"), (1, "abx")], [None, None]),
        (NEAR, [(1, "abcd"), (6, "abcd")], [None, (0, 1)]),  # exactly as far as allowed
        (NEAR, [(1, "abcd"), (6.01, "abcd")], [None, None]),
        (NEAR, [(6, "abcd"), (1, "abcd")], [None, (0, 1)]),  # both ways
        (NEAR, [(1, "abcde"), (8, "abcdx"), (4, "abcdx")], [None, None, (1, 1)]),  # most similar
        (NEAR, [(8, "abcd"), (1, "abcd"), (4, "abcd")], [None, None, (0, 1)]),  # then the earliest
        (NEAR, [(1, "abcd"), (2, "abcx"), (3, "abyx")], [None, (0, 0.75), None]),  # to unique ones
        (NEAR, [(1, None), (1, "")], [None, (0, 1)]),  # two empty texts
        (NEAR, [(1, 1.0), (1, "1")], [None, (0, 1)]),  # canonical JSON against a string
        (NEAR, [(1, {"b": 1, "a": 2}), (1, '{"a":2,"b":1}')], [None, (0, 1)]),
    ],
)
def test_near_duplicates(
    settings: Settings, events: list[tuple[float, Any]], expected: list[tuple[int, float] | None]
) -> None:
    """Events: (time, x), None for a missing x.  Expected: (offset of the original, similarity)."""
    written: list[dict[str, Any]] = [
        {"t": time, "id": number} | ({} if x is None else {"x": x})
        for number, (time, x) in enumerate(events)
    ]
    found = [
        (verdict.original[1], verdict.similarity) if verdict.original else None
        for verdict in verdicts(settings, *written)
    ]
    assert found == expected


def test_near_duplicates_share_the_values_of_shard_by() -> None:
    settings = replace(NEAR, shard_by=("s",), keys=(("id", "s"),))
    events = [{"t": 1, "id": n, "s": s, "x": "a"} for n, s in enumerate([1, 2, 1.0])]
    assert [verdict.original for verdict in verdicts(settings, *events)] == [None, None, (0, 0)]


def test_exact_keys_come_before_near_duplicates() -> None:
    events = [{"t": 1, "id": 1, "x": "abcd"}, {"t": 1, "id": 2, "x": "zzzz"}]
    third = verdicts(NEAR, *events, {"t": 1, "id": 2, "x": "abcd"})[2]
    assert third == Verdict("duplicate", matched="id", original=(0, 1))


def test_several_fields_are_joined_by_a_newline() -> None:
    settings = replace(NEAR, similarity=1.0, similarity_fields=("x", "y"))
    events = [{"x": "a", "y": "b"}, {"x": "a b"}, {"x": "a\nb"}, {"y": "a b"}]
    stamped = [{"t": 1, "id": n, **event} for n, event in enumerate(events)]
    originals = [verdict.original for verdict in verdicts(settings, *stamped)]
    assert originals == [None, None, (0, 1), None]
