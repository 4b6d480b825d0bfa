"""RocksDB made room for every record of a batch, also for those whose keys it held.

With fewer keys a lane than a batch has records, a batch of nothing but repeats evicted all
keys, and the repeats passed as unique.
"""

import numpy as np
import pytest

from operators.changes import Delta
from operators.columns.arrays import Codes, Hashes
from operators.windows.bound import Bound
from operators.windows.store import KeyStore
from tests.contract.kinds import Kind, every_eviction, every_kind, feed, held_of

KEYS, BOUND = range(100), 1000


@every_kind
@every_eviction
@pytest.mark.parametrize("combinations", [1, 2])
def test_a_batch_of_repeats_evicts_nothing(kind: Kind, renew: bool, combinations: int) -> None:
    store = kind.new(Bound(BOUND, renew))
    rng = np.random.default_rng(4)
    known = rng.integers(0, 2**64, (len(KEYS), combinations, 2), dtype=np.uint64)
    assert (ask(store, known) < 0).all()
    assert (ask(store, np.concatenate([known] * 20)) == 0).all()
    assert store.evicted == 0
    if kind.originals:  # a Bloom filter counts a renewed key again
        assert len(store) == combinations * len(KEYS)


def ask(store: KeyStore, hashes: Hashes) -> Codes:
    """Ask about records with keys; return the combination that matched each."""
    times, references = np.ones(len(hashes)), np.arange(len(hashes))
    return store.decide(hashes, times, references).matches.combination


@every_kind
@every_eviction
def test_a_changelog_with_the_same_keys_again_evicts_nothing(kind: Kind, renew: bool) -> None:
    """As with `lru`: renewed keys are in it each time."""
    delta = feed(kind.new(Bound(BOUND, renew)), KEYS)[1]
    store = kind.new(Bound(BOUND, renew))
    store.apply(delta)
    store.apply(Delta.concat([delta] * 20))
    assert held_of(store, KEYS) == [*KEYS]
    assert (store.evicted, len(store)) == (0, len(KEYS))
