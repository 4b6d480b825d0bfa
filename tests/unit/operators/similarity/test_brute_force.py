"""The index against all pairs: thousands of real and generated texts, identical answers."""

import random
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from operators.similarity.index import NearIndex
from tests.model import Settings
from tests.model.similarity import shingles, similarity
from tests.near_index import SECONDS, Answer, Metric, ask, make_index
from tests.texts import generated_texts, paragraphs, real_texts

Matrix = npt.NDArray[np.float64]

_METRICS: list[Metric] = ["jaccard", "levenshtein"]
_MAKERS: dict[str, Callable[[int, random.Random], list[str]]] = {
    "real": real_texts,
    "generated": generated_texts,
}


@lru_cache(maxsize=4)
def corpus(kind: str, count: int) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Texts with event times: a few a second, out of order by up to a minute."""
    rng = random.Random(count)
    texts = _MAKERS[kind](count, rng)
    times = np.arange(count) * 0.5 + np.array([rng.uniform(-60, 60) for _ in texts])
    return texts, times


@lru_cache(maxsize=4)
def all_similarities(kind: str, count: int, metric: Metric) -> Matrix:
    """Similarity of every text to every other, as the definition has it."""
    texts, _ = corpus(kind, count)
    if metric == "levenshtein":
        lengths = np.array([len(text) for text in texts])
        longer = np.maximum.outer(lengths, lengths)
        distances = cdist(texts, texts, scorer=Levenshtein.distance, dtype=np.int32)
        with np.errstate(invalid="ignore"):
            return np.where(longer == 0, 1.0, (longer - distances) / longer)
    sets = [shingles(text, "3c") for text in texts]
    matrix = np.zeros((count, count))
    for row, one in enumerate(sets):
        for column, other in enumerate(sets[:row]):
            common = len(one & other)
            matrix[row, column] = common / (len(one) + len(other) - common)
    return matrix


def by_all_pairs(matrix: Matrix, times: npt.NDArray[np.float64], threshold: float) -> list[Answer]:
    answers: list[Answer] = []
    unique = np.zeros(len(times), np.bool_)
    for row, time in enumerate(times.tolist()):
        near = unique[:row] & (np.abs(time - times[:row]) <= SECONDS)
        similar = np.where(near, matrix[row, :row], -1.0)
        best = int(similar.argmax()) if row else 0
        if row and similar[best] >= threshold:
            answers.append((float(similar[best]), best))
        else:
            unique[row] = True
            answers.append(None)
    return answers


@pytest.mark.parametrize("threshold", [0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("metric", _METRICS)
@pytest.mark.parametrize("kind", _MAKERS)
def test_answers_are_those_of_all_pairs(kind: str, metric: Metric, threshold: float) -> None:
    texts, times = corpus(kind, 2000)
    expected = by_all_pairs(all_similarities(kind, 2000, metric), times, threshold)
    assert sum(answer is not None for answer in expected) > 50
    assert ask(make_index(threshold, metric), texts, times) == expected


def test_there_are_real_texts_enough() -> None:
    assert len(set(paragraphs())) > 2000


@pytest.mark.parametrize("kind", _MAKERS)
@pytest.mark.parametrize("metric", _METRICS)
def test_all_pairs_are_the_models(metric: Metric, kind: str) -> None:
    texts, _ = corpus(kind, 2000)
    matrix = all_similarities(kind, 2000, metric)
    settings = Settings(similarity=0.9, similarity_metric=metric)
    rng = random.Random(1)
    close = np.argwhere(matrix > 0.7).tolist()
    for row, column in rng.sample([pair for pair in close if pair[1] < pair[0]], 100):
        left, right = texts[row][:200], texts[column][:200]
        if (left, right) == (texts[row], texts[column]):
            assert matrix[row, column] == similarity(left, right, settings)


@pytest.mark.parametrize("shingle", ["1c", "2c", "3c", "5c", "1w", "2w"])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6, 0.75, 0.9, 1.0])
def test_every_shingle_and_threshold(shingle: str, threshold: float) -> None:
    rng = random.Random(7)
    texts = generated_texts(120, rng) + real_texts(60, rng)
    settings = Settings(similarity=threshold, shingle=shingle)
    _check_with_model(texts, settings, make_index(threshold, shingle=shingle))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.75, 1.0])
def test_levenshtein_at_every_threshold(threshold: float) -> None:
    rng = random.Random(8)
    texts = [text[:60] for text in generated_texts(120, rng) + real_texts(40, rng)]
    settings = Settings(similarity=threshold, similarity_metric="levenshtein")
    _check_with_model(texts, settings, make_index(threshold, "levenshtein"))


def _check_with_model(texts: list[str], settings: Settings, index: NearIndex) -> None:
    unique: list[int] = []
    expected: list[Answer] = []
    assert settings.similarity is not None
    for row, text in enumerate(texts):
        alike = [(similarity(text, texts[other], settings), -other) for other in unique]
        best = max(alike, default=(0.0, 0))
        if best[0] >= settings.similarity:
            expected.append((best[0], -best[1]))
        else:
            expected.append(None)
            unique.append(row)
    assert ask(index, texts) == expected
