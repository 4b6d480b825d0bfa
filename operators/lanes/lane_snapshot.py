"""The recovery snapshot of a lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operators.batches import InputPartition
from operators.changes import NearRecords

# A key in a snapshot or the changelog: 16 bytes of hash, 8 of event time, 8 of reference.
BYTES_PER_KEY = 32


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """The recovery snapshot of a lane; Bytewax pickles it.

    Give its module another name when its fields change: then the directories of earlier versions
    are refused (flows/process/recovery.py), and not read wrongly.

    index, sequence, progress, written: as in `Lane`.  inputs: the partitions that `Lane.inputs`
    numbers.  watermark, max_event_times: as in
    `Watermark`.  keys: None where a restart reads them from the changelog.  changelog:
    whether the lane has a changelog.  near: the unique records with their texts, if the
    lane searches for near duplicates.
    """

    index: int
    sequence: int
    progress: dict[int, int]
    watermark: float
    max_event_times: dict[int, float]
    fingerprint: dict[str, str]
    keys: dict[str, Any] | None
    changelog: bool = False
    written: tuple[int, int] = (0, 0)
    inputs: tuple[InputPartition, ...] = ()
    near: NearRecords | None = None
