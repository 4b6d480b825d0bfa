"""Says how many records of a partition that the job found were late already."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from operators.batches import InputPartition, Span
from operators.verdicts import LATE, VerdictBatch

log = logging.getLogger("dedup.source")


@dataclass(slots=True)
class _Counted:
    """What is known of a partition's history.  first, end: offsets; done: lanes that have it."""

    first: int
    end: int
    late: int = 0
    done: set[int] = field(default_factory=set)


class LateHistory:
    """Counts the late records that partitions had when the job found them.

    Promises: one line in the log for each such partition with late records, once all lanes of this
    process have decided what it had.  Costs a look at the spans while there is none.
    """

    def __init__(self, lanes: Collection[int]) -> None:
        """lanes: those that this process decides."""
        self._lanes = frozenset(lanes)
        self._counted: dict[InputPartition, _Counted] = {}
        self._lock = Lock()  # lanes of several workers

    def decided(self, answer: VerdictBatch) -> None:
        """Note a lane's answer."""
        spans = answer.slice.spans
        if all(span.history_end is None for span in spans.spans):
            return
        offsets = answer.slice.offsets
        is_late = answer.verdicts == LATE
        with self._lock:
            for span, rows in spans:
                if span.history_end is not None:
                    late = is_late[rows] & (offsets[rows] < span.history_end)
                    self._count(answer.lane, span, span.history_end, int(np.count_nonzero(late)))

    def _count(self, lane: int, span: Span, end: int, late: int) -> None:
        counted = self._counted.setdefault(span.partition, _Counted(span.start, end))
        counted.end, counted.late = end, counted.late + late
        if span.end < end:
            return
        counted.done.add(lane)
        if counted.done >= self._lanes:
            del self._counted[span.partition]
            if counted.late:
                log.warning(
                    "%s/%d had records when the job found it: of those at offsets %d to %d, %d are "
                    "late in this process (older than the watermark by more than "
                    "DEDUP_ALLOWED_LATENESS_SECONDS)",
                    span.partition.topic,
                    span.partition.partition,
                    counted.first,
                    counted.end - 1,
                    counted.late,
                )
