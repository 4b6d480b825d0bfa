"""An index of near duplicates that a test asks text by text."""

from typing import Any, Literal, TypeAlias

import numpy as np

from operators.similarity.buckets import chunks
from operators.similarity.index import NearIndex
from operators.similarity.near_duplicates import NearSpec

Metric: TypeAlias = Literal["jaccard", "levenshtein"]
Answer: TypeAlias = tuple[float, int] | None
"""Similarity and row of the original; None for a unique text."""
SECONDS = 300.0


def make_index(
    threshold: float, metric: Metric = "jaccard", shingle: str = "3c", seconds: float = SECONDS
) -> NearIndex:
    """Make an empty index of one shard."""
    return NearSpec(threshold, metric, shingle, seconds, 10**9, one_shard=True).index()


def ask(
    index: NearIndex,
    texts: list[str],
    times: Any = None,  # noqa: ANN401
    shards: Any = None,  # noqa: ANN401
) -> list[Answer]:
    """Ask an index about texts, one after another; add the unique ones to it."""
    count = len(texts)
    times = np.zeros(count) if times is None else np.asarray(times, np.float64)
    hashes = np.zeros((count, 2), np.uint64)
    if shards is not None:
        hashes[:, 1] = shards
    answers: list[Answer] = []
    for chunk in chunks(texts):
        rows = np.arange(chunk.start, chunk.stop)
        search = index.search(texts[chunk], times[chunk], hashes[chunk], rows)
        for place in range(len(rows)):
            near = search.find(place)
            answers.append(None if near is None else (near.similarity, near.reference))
            if near is None:
                search.keep(place)
        index.add(search)
    return answers
