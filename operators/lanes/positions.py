"""Which input records a lane has answered, and that none are missing between.

This is rule 4 of the protocol (connectors/exactly_once).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.batches import DecisionColumns, Slice, Span
from operators.columns.arrays import Bools
from operators.errors import StateError


class Positions:
    """Follows each input partition, offset by offset.

    Promises: rows that were answered before are skipped; a span that does not begin where
    the partition's last one ended raises StateError.  A gap is a bug or another
    application's recovery directory, never data to guess about.
    """

    def __init__(self, lane: int) -> None:
        """lane: index of the lane, for messages."""
        self.progress: dict[int, int] = {}
        """Number of an input partition → first offset that is not answered."""
        self._lane = lane
        # Where the last span of each partition ended in this run: it may be before `progress`.
        self._read_to: dict[int, int] = {}

    def skip_answered(self, slice_: Slice, partitions: Sequence[int]) -> tuple[Slice, int]:
        """Follow the spans of a slice; drop the rows that were answered before, and count them.

        partitions: number of each span's partition.
        """
        kept = np.ones(len(slice_), np.bool_)
        for (span, rows), partition in zip(slice_.spans, partitions, strict=True):
            answered_to = self._follow(span, partition)
            if span.start < answered_to:
                kept[rows] = slice_.offsets[rows] >= answered_to
        skipped = len(slice_) - int(kept.sum())
        return (select_rows(slice_, kept) if skipped else slice_), skipped

    def _follow(self, span: Span, partition: int) -> int:
        """Go on with the next span of a partition; return the offset it was answered up to."""
        answered_to = self.progress.get(partition, span.start)
        read_to = self._read_to.get(partition)
        # The first slice after a restart may begin earlier than needed, never later.
        if span.start > answered_to or (read_to is not None and span.start != read_to):
            msg = (
                f"lane {self._lane} has read partition {span.partition.partition} up to offset "
                f"{answered_to if read_to is None else read_to}, but the next records begin at "
                f"{span.start}: records are missing between. Is the recovery directory another "
                "application's, or the consumer group's offsets set by hand?"
            )
            raise StateError(msg)
        self._read_to[partition] = span.end
        self.progress[partition] = max(answered_to, span.end)
        return answered_to


def select_rows(slice_: Slice, kept: Bools) -> Slice:
    """Keep only some records of a slice; its spans stay."""
    rows = np.flatnonzero(kept)
    position = {row: new for new, row in enumerate(rows.tolist())}
    decided = slice_.decided
    return Slice(
        lane=slice_.lane,
        spans=slice_.spans.to_rows(rows),
        records=slice_.records,
        rows=slice_.rows[rows],
        decided=DecisionColumns(
            times=decided.times[kept],
            running_max=decided.running_max[kept],
            hashes=decided.hashes[kept],
            invalid={position[r]: p for r, p in decided.invalid.items() if r in position},
            shards=None if decided.shards is None else decided.shards[kept],
            types=None if decided.types is None else decided.types[kept],
            texts=None if decided.texts is None else decided.texts[kept],
        ),
        max_event_times=slice_.max_event_times,
        known=slice_.known,
    )
