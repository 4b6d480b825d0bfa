"""Evictions: counted, warned about once a minute, and the settings that cause them."""

import logging

import numpy as np
import pytest

from flows.assembly.specs import new_store
from operators.monitoring.evictions import Evictions
from operators.monitoring.metrics import Metrics
from operators.windows.store import KeyStore
from tests.cases.settings import load, refusal

NOW = 1_700_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def counted(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("dedup_evictions_total", {"reason": "max_keys"})


def test_they_are_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics, clock = Metrics(), Clock()
    evictions = Evictions(metrics, clock)
    assert counted(metrics) == 0
    evictions.opened(0, 500)  # while it was restored
    evictions.decided(0, 500)
    assert counted(metrics) == 0
    evictions.decided(0, 510)
    evictions.decided(1, 5)
    evictions.decided(0, 510)
    assert counted(metrics) == 15


def test_a_warning_comes_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    evictions = Evictions(Metrics(), clock)
    logging.getLogger("dedup").propagate = True
    with caplog.at_level(logging.WARNING, "dedup.state"):
        for second in range(0, 125, 5):
            clock.now = NOW + second
            evictions.decided(0, second + 1)
        for second in (180, 1000):  # a warning with the unreported ones, then none
            clock.now = NOW + second
            evictions.decided(0, 121)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split()[0] for text in said] == ["1", "60", "60"]
    assert all("passes as unique" in text and "DEDUP_MAX_KEYS" in text for text in said)


def fill(store: KeyStore, keys: int) -> None:
    hashes = np.random.default_rng(2).integers(0, 2**64, (keys, 1, 2), dtype=np.uint64)
    store.decide(hashes, np.full(keys, NOW), np.arange(keys))


@pytest.mark.parametrize("window", ["tumbling", "sliding", "session", "forever"])
@pytest.mark.parametrize("eviction", ["oldest", "lru"])
def test_every_lane_holds_an_equal_part(window: str, eviction: str) -> None:
    store = new_store(load(window=window, eviction=eviction, max_keys="1003", lanes="5"))
    fill(store, 10_000)
    assert 200 * 0.9 <= len(store) <= 200
    assert store.evicted == 10_000 - len(store)


def test_a_record_must_fit_into_a_lane() -> None:
    two = {"DEDUP_KEYS": '[["event_id"],["event_id","user_id"]]', "DEDUP_MAX_KEYS": "7"}
    message = refusal(two)
    assert message.startswith("DEDUP_MAX_KEYS=7: must be at least DEDUP_LANES times")
