"""Sliding windows remembered each bucket of event time until the watermark passed it.

Also where its keys had been evicted: while the watermark stood, memory grew with event time.
"""

import numpy as np

from operators.windows.bound import Bound
from operators.windows.sliding import SlidingStore


def test_buckets_go_with_their_keys() -> None:
    store = SlidingStore(1.0, Bound(100))
    rng = np.random.default_rng(1)
    for begin in range(0, 20_000, 50):
        hashes = rng.integers(0, 2**64, (50, 1, 2), dtype=np.uint64)
        numbers = np.arange(begin, begin + 50)
        times = np.multiply(numbers, 2.0, dtype=np.float64)
        matches = store.decide(hashes, times, numbers).matches
        assert (matches.combination < 0).all()
        assert store.repeats(hashes, times).all()
    assert len(store._newest) == len(store._bucket_heap) <= 400
    store.expire(1e6)
    assert (len(store), len(store._newest), len(store._bucket_heap)) == (0, 0, 0)
