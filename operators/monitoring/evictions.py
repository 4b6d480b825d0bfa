"""Evictions: counted, and said aloud once in a while with what they mean."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from operators.monitoring.metrics import Metrics
from operators.similarity.index import NearIndex

log = logging.getLogger("dedup.state")

_SAY_EVERY_SECONDS = 60.0
MAX_KEYS = "max_keys"
EVICTED = "similarity"


class Evictions:
    """Counts what the stores of all lanes evict; warns about once a minute."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        """clock: wall clock, epoch seconds."""
        self._metrics = metrics
        self._clock = clock
        self._seen: dict[int, int] = {}
        self._unsaid = 0
        self._said = -math.inf
        metrics.evictions.labels(MAX_KEYS)

    def opened(self, lane: int, evicted: int) -> None:
        """Take note of a lane that was restored: what went then has been counted before."""
        self._seen[lane] = evicted

    def decided(self, lane: int, evicted: int) -> None:
        """Take note of how many keys a lane's store has evicted so far."""
        more = evicted - self._seen.get(lane, 0)
        if not more and not self._unsaid:
            return
        self._seen[lane] = evicted
        self._metrics.evictions.labels(MAX_KEYS).inc(more)
        self._unsaid += more
        now = self._clock()
        if now - self._said >= _SAY_EVERY_SECONDS:
            log.warning(
                "%d keys were evicted, since more than DEDUP_MAX_KEYS would have been held: a "
                "record that repeats one of them passes as unique. If that matters set "
                "DEDUP_MAX_KEYS higher, or a shorter window.",
                self._unsaid,
            )
            self._said, self._unsaid = now, 0


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
