"""A Bloom filter for 4,096 keys was made for each window, however few keys came.

Ten thousand windows of one key took 142 MB a lane, and no setting bounds the windows.
"""

import tracemalloc

import numpy as np

from operators.windows.bloom import BloomStore
from operators.windows.bound import Bound

WINDOWS = 10_000


def test_ten_thousand_windows_of_one_key_are_small() -> None:
    tracemalloc.start()
    try:
        store = BloomStore(60.0, Bound(2_500_000))
        rng = np.random.default_rng(1)
        for begin in range(0, WINDOWS, 100):
            hashes = rng.integers(0, 2**64, (100, 1, 2), dtype=np.uint64)
            numbers = np.arange(begin, begin + 100)
            store.decide(hashes, np.multiply(numbers, 60.0, dtype=np.float64), numbers)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(store) == WINDOWS
    assert store.size_bytes() < 1_000_000
    # With the objects that hold the filters.
    assert taken < 10_000_000


def test_the_error_is_kept_however_small_the_first_filters_are() -> None:
    """Two hundred windows, and then as many keys in one of them as are held at most."""
    error, keys = 0.01, 200_000
    store = BloomStore(60.0, Bound(keys), error)
    rng = np.random.default_rng(2)
    numbers = np.arange(200)
    store.decide(
        rng.integers(0, 2**64, (200, 1, 2), dtype=np.uint64),
        np.multiply(numbers, 60.0, dtype=np.float64),
        numbers,
    )
    hashes = rng.integers(0, 2**64, (keys // 2, 1, 2), dtype=np.uint64)
    store.decide(hashes, np.full(len(hashes), 300 * 60.0), np.arange(len(hashes)))
    assert store.evicted == 0
    unseen = rng.integers(0, 2**64, (100_000, 1, 2), dtype=np.uint64)
    wrong = float(np.mean(store.repeats(unseen, np.full(len(unseen), 300 * 60.0))))
    assert wrong <= 1.2 * error
