"""What the index of near duplicates could not do is counted."""

import numpy as np
import pytest

from operators.monitoring.evictions import NearCounts
from operators.monitoring.metrics import Metrics
from operators.similarity import buckets
from tests.unit.operators.similarity.test_brute_force import ask, make_index


def test_capped_and_evicted_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MAX_TEXT_LENGTH", 10)
    metrics = Metrics()
    counts = NearCounts(metrics)
    index = make_index(0.95)
    ask(index, ["much too long a text"])
    counts.opened(0, index)  # restored: counted by the process before

    def values() -> tuple[float | None, float | None]:
        return (
            metrics.registry.get_sample_value("dedup_similarity_capped_total"),
            metrics.registry.get_sample_value("dedup_evictions_total", {"reason": "similarity"}),
        )

    assert values() == (0, 0)
    ask(index, ["another text that is too long", "short"], np.zeros(2))
    index.evicted = 3
    counts.decided(0, index)
    counts.decided(0, index)
    assert values() == (1, 3)
