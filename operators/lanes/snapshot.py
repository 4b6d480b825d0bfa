"""What a lane's recovery snapshot holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operators.changes import NearRecords

# 16 of hash, 8 of event time, 8 of reference: a key in a snapshot or the changelog.
BYTES_PER_KEY = 32


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """What a recovery snapshot holds of a lane.

    keys: None where they are left to the changelog.  changelog: whether there is one.
    generation: of the opening of the lane that it comes from.  near: the
    unique records with their texts, if near duplicates are looked for.
    """

    lane: int
    number: int
    progress: dict[int, int]
    watermark: float
    largest: dict[int, float]
    fingerprint: dict[str, str]
    keys: dict[str, Any] | None
    changelog: bool = False
    generation: int = 0
    near: NearRecords | None = None
