"""How many keys a store may hold, and which keys it evicts first."""

from __future__ import annotations

from dataclasses import dataclass

# Each eviction scans all keys, so 1/64 of max_keys goes at a time; in small stores up to 1/8.
EVICTED_SHARE = 64
_MAX_EVICTED_SHARE = 8
_MIN_EVICTED = 256
# A duplicate renews its key only if at least max_keys / 16 keys are newer.  Without this
# hot keys would be renewed all the time, and the changelog holds every renewal.
_FRESH_SHARE = 16


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest number of keys, and the order of eviction.

    max_keys: ≥ 1.  renew: whether a duplicate renews its key (`lru`).  Otherwise the time
    of the first record with the key counts (`oldest`).
    """

    max_keys: int = 10_000_000
    renew: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a bound below 1."""
        if self.max_keys < 1:
            msg = f"max_keys is {self.max_keys}, must be at least 1"
            raise ValueError(msg)

    @property
    def keys_per_eviction(self) -> int:
        """About how many keys one eviction drops."""
        few = min(_MIN_EVICTED, self.max_keys // _MAX_EVICTED_SHARE)
        return max(1, few, self.max_keys // EVICTED_SHARE)

    @property
    def renewed_after(self) -> int:
        """How many keys must be added or renewed before a duplicate renews a key again."""
        return self.max_keys // _FRESH_SHARE

    def check(self, combinations: int) -> None:
        """Raise ValueError if one record has more keys than the store may hold."""
        if combinations > self.max_keys:
            msg = f"max_keys is {self.max_keys}, but a record has {combinations} keys"
            raise ValueError(msg)
