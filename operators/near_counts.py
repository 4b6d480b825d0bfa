"""What the indexes of near duplicates could not do, counted."""

from __future__ import annotations

from operators.monitoring.metrics import Metrics
from operators.similarity.index import NearIndex

EVICTED = "similarity"


class NearCounts:
    """Counts capped searches and evicted texts of all lanes."""

    def __init__(self, metrics: Metrics) -> None:
        """metrics: what is shown to Prometheus."""
        self._metrics = metrics
        self._seen: dict[int, tuple[int, int]] = {}

    def opened(self, lane: int, index: NearIndex) -> None:
        """Take note of a lane that was restored: what went then has been counted before."""
        self._seen[lane] = index.capped, index.evicted
        self._metrics.evictions.labels(EVICTED)

    def decided(self, lane: int, index: NearIndex) -> None:
        """Take note of how far a lane's counts have come."""
        capped, evicted = self._seen.get(lane, (0, 0))
        self._seen[lane] = index.capped, index.evicted
        if index.capped > capped:
            self._metrics.similarity_capped.inc(index.capped - capped)
        if index.evicted > evicted:
            self._metrics.evictions.labels(EVICTED).inc(index.evicted - evicted)
