"""Texts made to be slow or large: answered rightly, in bounded time and memory."""

import random
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest

from operators.decode.compared_text import text_of
from operators.similarity import buckets, search
from tests.unit.operators.similarity.test_brute_force import Answer, Metric, ask, make_index

_MEGABYTE = 1_000_000
# Ten times what was measured: other work goes on where tests run.
_SECONDS = 60.0
_MOST_BYTES = 1_500_000_000
_METRICS: list[Metric] = ["jaccard", "levenshtein"]
_RNG = random.Random(3)
_LONG = "".join(_RNG.choices("abcdefghijklmnopqrstuvwxyz     ", k=_MEGABYTE))


def _numbers(answers: list[Answer]) -> list[int | None]:
    return [None if answer is None else answer[1] for answer in answers]


def _bounded(work: Callable[[], list[Answer]]) -> list[Answer]:
    tracemalloc.start()
    began = time.process_time()
    try:
        answers = work()
        assert time.process_time() - began < _SECONDS
        assert tracemalloc.get_traced_memory()[1] < _MOST_BYTES
    finally:
        tracemalloc.stop()
    return answers


@pytest.mark.parametrize("metric", _METRICS)
def test_a_megabyte_and_a_typo_in_it(metric: Metric) -> None:
    texts = [_LONG, _LONG[:500_000] + "xyz" + _LONG[500_000:], _LONG[::-1]]
    answers = _bounded(lambda: ask(make_index(0.95, metric), texts))
    # Backwards it has the same few shingles, of 27 characters, or is quite another text.
    assert _numbers(answers)[:2] == [None, 0]
    assert _numbers(answers)[2] == (0 if metric == "jaccard" else None)


@pytest.mark.parametrize("metric", _METRICS)
def test_a_megabyte_of_any_characters(metric: Metric) -> None:
    rng = random.Random(4)
    text = "".join(chr(rng.randrange(0x20, 0xD800)) for _ in range(_MEGABYTE // 3))
    answers = _bounded(lambda: ask(make_index(0.95, metric), [text, text[:-50], text[1000:] * 2]))
    assert _numbers(answers)[:2] == [None, 0]


@pytest.mark.parametrize("metric", _METRICS)
def test_empty_texts_are_equal_to_each_other_only(metric: Metric) -> None:
    assert _numbers(ask(make_index(0.5, metric), ["", "a", "", "a", " "])) == [
        None,
        None,
        0,
        1,
        None,
    ]


@pytest.mark.parametrize("metric", _METRICS)
def test_one_character_repeated(metric: Metric) -> None:
    texts = ["a" * length for length in (_MEGABYTE, 1000, 996, 500, 3, 2, 1)]
    answers = _bounded(lambda: ask(make_index(0.95, metric), texts))
    # All runs of three and more have the one shingle "aaa".
    jaccard = [None, 0, 0, 0, 0, None, None]
    levenshtein = [None, None, 1, None, None, None, None]
    assert _numbers(answers) == (jaccard if metric == "jaccard" else levenshtein)


@pytest.mark.parametrize("metric", _METRICS)
def test_all_equal(metric: Metric) -> None:
    texts = ["the quick brown fox jumps over the lazy dog " * 4] * 3000
    answers = _bounded(lambda: ask(make_index(0.95, metric), texts))
    assert answers == [None] + [(1.0, 0)] * 2999


@pytest.mark.parametrize("metric", _METRICS)
def test_all_a_typo_away_from_each_other(metric: Metric) -> None:
    rng = random.Random(5)
    text = "".join(rng.choices("abcdefghij ", k=300))
    texts = [text]
    for _ in range(2000):
        at = rng.randrange(300)
        texts.append(text[:at] + rng.choice("xyz") + text[at + 1 :])
    answers = _bounded(lambda: ask(make_index(0.9, metric), texts))
    assert _numbers(answers)[0] is None
    assert set(_numbers(answers)[1:]) == {0}


@pytest.mark.parametrize("metric", _METRICS)
def test_all_different(metric: Metric) -> None:
    rng = random.Random(6)
    texts = ["".join(rng.choices("abcdefghijklmnop ", k=200)) for _ in range(5000)]
    answers = _bounded(lambda: ask(make_index(0.95, metric), texts))
    assert answers == [None] * 5000


@pytest.mark.parametrize("metric", _METRICS)
@pytest.mark.parametrize("threshold", [0.8, 0.95])
def test_a_template_with_small_numbers_in_it(metric: Metric, threshold: float) -> None:
    rng = random.Random(7)
    texts = [
        f'{{"level":"info","message":"user {rng.randrange(10**6)} bought item '
        f'{rng.randrange(10**6)} for {rng.randrange(10**4)}","host":"web-{rng.randrange(9)}"}}'
        for _ in range(3000)
    ]
    answers = _bounded(lambda: ask(make_index(threshold, metric), texts))
    assert any(answer is None for answer in answers)


_SCRIPTS = {
    "emoji": ["👩‍👩‍👧‍👦 family 😀 out 🚀 today", "👩‍👩‍👧‍👦 family 😀 out 🚀 todaY", "👩 family"],
    "combining": ["crème brûlée à la carte, voilà", "crème brûlée à la carte, voila", "crème"],
    "hebrew": ["שלום עולם, זה טקסט מימין לשמאל", "שלום עולם, זה טקסט מימין לשמאל!", "שלום"],
    "arabic": ["مرحبا بالعالم هذا نص من اليمين", "مرحبا بالعالم هذا نص من اليمن", "مرحبا"],
    "chinese": ["你好世界這是一個從左到右的文字", "你好世界這是一個從左到右的文宇", "你好"],
}


@pytest.mark.parametrize("script", _SCRIPTS)
@pytest.mark.parametrize("metric", _METRICS)
def test_scripts(metric: Metric, script: str) -> None:
    threshold = 0.75 if metric == "jaccard" else 0.9
    assert _numbers(ask(make_index(threshold, metric), _SCRIPTS[script])) == [None, 0, None]


def test_a_megabyte_of_combining_marks_is_read_in_linear_time() -> None:
    """Python's own normalization is quadratic in them."""
    marks = "a" + "\u0301\u0316" * (_MEGABYTE // 2)
    began = time.process_time()
    assert text_of([marks]) == "\u00e1" + "\u0316" * 500_000 + "\u0301" * 499_999
    assert time.process_time() - began < _SECONDS / 10


def test_a_text_that_is_too_long_is_compared_with_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MAX_TEXT_LENGTH", 100)
    index = make_index(0.95)
    long = "ab" * 60
    assert ask(index, [long, "", long, "", "c" * 100]) == [None, None, None, (1.0, 1), None]
    assert index.capped == 2
    assert len(index) == 2


@pytest.mark.parametrize("metric", _METRICS)
def test_more_candidates_than_the_cap_are_counted(
    monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    rng = random.Random(9)
    texts = ["".join(rng.choices("ab", k=12)) for _ in range(600)]
    exact = make_index(0.6, metric)
    ask(exact, texts)
    assert exact.capped == 0
    monkeypatch.setattr(search, "MAX_CANDIDATES", 5)
    capped = make_index(0.6, metric)
    answers = ask(capped, texts)
    assert capped.capped > 0
    # What is found is still what it says.
    assert all(answer is None or answer[0] >= 0.6 for answer in answers)


@pytest.mark.parametrize("metric", _METRICS)
def test_more_effort_than_the_cap_is_counted(
    monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    text = "".join(random.Random(1).choices("abcdefghij", k=200))
    near = ["z" * 20 + text[20:], text[:180] + "z" * 20]
    monkeypatch.setattr(search, "MAX_EFFORT", 1)
    index = make_index(0.81, metric)
    assert ask(index, near) == [None, None]
    assert index.capped == 0
    # The second is not compared any more; the first always is.
    (answer,) = ask(index, [text[:190] + "z" * 10])
    assert answer is None or answer[1] == 0
    assert index.capped == 1


def test_times_far_apart_make_many_buckets_that_all_go() -> None:
    index = make_index(0.95)
    times = [1000.0 * number for number in range(3000)] + [-1e300, 1e300]
    assert ask(index, ["the same"] * len(times), times) == [None] * len(times)
    assert len(index) == len(times)
    index.expire(1e299)
    assert len(index) == 1
    assert all(a < b for a, b in pairwise(sorted(times)))
