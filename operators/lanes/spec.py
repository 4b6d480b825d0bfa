"""How a lane decides: what its assembly gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from operators.columns.arrays import Floats
from operators.similarity.near_duplicates import NearSpec
from operators.windows.store import KeyStore

_Times = TypeVar("_Times", float, Floats)


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """How a lane decides.

    new_store: makes an empty store of keys.  open_store: opens the store of a lane that is
    kept on disk, None in memory.  Durations in seconds.  fingerprint: setting → text, of
    the settings that change the meaning of the state.  changelog: whether the lane has a
    changelog; then a snapshot holds the keys only up to `snapshot_max_bytes`.
    stats_seconds: length of the statistics' windows, None without statistics.  on_snapshot:
    called for each snapshot, the only sign that an epoch ends.  near: how near duplicates
    are found, None if they are not.
    """

    new_store: Callable[[], KeyStore]
    allowed_lateness_seconds: float
    idle_seconds: float
    fingerprint: dict[str, str]
    changelog: bool = False
    snapshot_max_bytes: int = 0
    stats_seconds: float | None = None
    on_snapshot: Callable[[], None] | None = None
    near: NearSpec | None = None
    open_store: Callable[[int], KeyStore] | None = None

    def horizon(self, watermark: _Times) -> _Times:
        """Return the event time before which a record is late.

        watermark: one, or an array with one for each record.  Nothing else computes the
        horizon: it travels in verdict batches and changes.
        """
        return watermark - self.allowed_lateness_seconds

    def expiry(self) -> Callable[[float, float], bool]:
        """Return a function (newest event time, horizon) → whether such state is expired."""
        keys_expired = self.new_store().is_expired
        if self.near is None:
            return keys_expired
        texts_expired = self.near.index().is_expired
        return lambda newest, horizon: (
            keys_expired(newest, horizon) and texts_expired(newest, horizon)
        )
