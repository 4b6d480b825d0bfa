"""Counts evictions, and warns about them with what they mean."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from operators.monitoring.metrics import Metrics
from operators.similarity.index import NearIndex

log = logging.getLogger("dedup.state")

_WARN_EVERY_SECONDS = 60.0
MAX_KEYS = "max_keys"
SIMILARITY = "similarity"


class Evictions:
    """Counts the keys that the stores of all lanes evict; warns at most once a minute."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        """clock: wall clock, epoch seconds."""
        self._metrics = metrics
        self._clock = clock
        self._counted: dict[int, int] = {}
        self._unreported = 0
        self._warned_at = -math.inf
        metrics.evictions.labels(MAX_KEYS)

    def opened(self, lane: int, evicted: int) -> None:
        """Note a restored lane: an earlier process counted what the restore evicts again."""
        self._counted[lane] = evicted

    def decided(self, lane: int, evicted: int) -> None:
        """Note how many keys a lane's store has evicted so far."""
        more = evicted - self._counted.get(lane, 0)
        if not more and not self._unreported:
            return
        self._counted[lane] = evicted
        self._metrics.evictions.labels(MAX_KEYS).inc(more)
        self._unreported += more
        now = self._clock()
        if now - self._warned_at >= _WARN_EVERY_SECONDS:
            log.warning(
                "%d keys were evicted, since more than DEDUP_MAX_KEYS would have been held: a "
                "record that repeats one of them passes as unique. If that matters, set "
                "DEDUP_MAX_KEYS higher, or a shorter window.",
                self._unreported,
            )
            self._warned_at, self._unreported = now, 0


class NearCounts:
    """Counts capped searches for near duplicates and evicted texts, of all lanes."""

    def __init__(self, metrics: Metrics) -> None:
        """metrics: shown to Prometheus."""
        self._metrics = metrics
        self._counted: dict[int, tuple[int, int]] = {}

    def opened(self, lane: int, index: NearIndex) -> None:
        """Note a restored lane: an earlier process counted what the restore evicts again."""
        self._counted[lane] = index.capped, index.evicted
        self._metrics.evictions.labels(SIMILARITY)

    def decided(self, lane: int, index: NearIndex) -> None:
        """Note a lane's counts so far."""
        capped, evicted = self._counted.get(lane, (0, 0))
        self._counted[lane] = index.capped, index.evicted
        if index.capped > capped:
            self._metrics.similarity_capped.inc(index.capped - capped)
        if index.evicted > evicted:
            self._metrics.evictions.labels(SIMILARITY).inc(index.evicted - evicted)
