"""The watermark of a lane: how far event time has come, over all input partitions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from operators.batches import Spans
from operators.columns.arrays import Bools, Floats, Ints
from operators.columns.jit import jit

_MIN_PARTITIONS: Final = 16


class Watermark:
    """The smallest of the partitions' largest event times; idle partitions do not count.

    It is −inf, so that nothing is late, until every partition was heard from or is idle.
    It never goes back, and does not move while all partitions are idle.  Partitions are those
    that `expect` names, and those of spans; they have the numbers of the lane's `InputTable`.

    value: the watermark, epoch seconds.  max_event_times: partition → its largest event time;
    a partition that had only invalid records has none.
    """

    def __init__(
        self, value: float = -math.inf, max_event_times: Mapping[int, float] | None = None
    ) -> None:
        """Begin, or go on from an earlier run."""
        self.value = value
        self.max_event_times: dict[int, float] = dict(max_event_times or {})
        size = max(self.max_event_times, default=0) + 1
        # By partition: the largest event time, −inf for none; whether it counts.
        self._times, self._active = np.full(size, -math.inf), np.zeros(size, np.bool_)
        for partition, time in self.max_event_times.items():
            self._times[partition] = time
        self._known: set[int] = set()
        self._gone: set[int] = set()
        self._ended: dict[int, float] = {}

    def expect(self, partitions: Iterable[int]) -> None:
        """Count these partitions from now on, until they are idle or gone."""
        new = set(partitions) - self._known - self._gone
        if new:
            self._known |= new
            self._reserve(max(new))
            self._active[list(new)] = True

    def _reserve(self, partition: int) -> None:
        missing = partition + 1 - len(self._times)
        if missing > 0:
            missing = max(missing, len(self._times), _MIN_PARTITIONS)
            self._times = np.append(self._times, np.full(missing, -math.inf))
            self._active = np.append(self._active, np.zeros(missing, np.bool_))

    def advance(
        self,
        spans: Spans,
        partitions: Sequence[int],
        running_max: Floats,
        max_event_times: Sequence[float],
    ) -> tuple[Floats, Floats]:
        """Move the watermark past spans, one after the other.

        partitions: number of each span's partition.  running_max: for each row the largest event
        time before it in its span.  max_event_times: of each span, −inf if it has no valid
        record.  Returns the watermark before each row, and for each span the largest event time
        of its partition before it.
        """
        self.expect(partitions)
        numbers = np.array(partitions, np.int64)
        idle = np.array([span.idle or span.gone for span in spans.spans], np.bool_)
        marks, before = np.empty(len(running_max)), np.empty(len(numbers))
        ends, largest = np.array(spans.ends, np.int64), np.array(max_event_times, np.float64)
        self.value = _advance(
            self._times,
            self._active,
            self.value,
            numbers,
            ends,
            idle,
            largest,
            running_max,
            marks,
            before,
        )
        for span, partition, time in zip(spans.spans, partitions, max_event_times, strict=True):
            if time > self.max_event_times.get(partition, -math.inf):
                self.max_event_times[partition] = time
            if span.ended:
                self._ended[partition] = span.read_at
            if span.gone:
                self._gone.add(partition)
                self._known.discard(partition)
        return marks, before

    def idle_ended(self, now: float, idle_seconds: float) -> None:
        """Count partitions that ended `idle_seconds` ago as idle: they send nothing more."""
        for partition, since in list(self._ended.items()):
            if now - since >= idle_seconds:
                self._active[partition] = False
                del self._ended[partition]


@jit
def _advance(  # noqa: PLR0913, PLR0917 - numba takes no structures
    times: Floats,
    active: Bools,
    value: float,
    partitions: Ints,
    ends: Ints,
    idle: Bools,
    max_event_times: Floats,
    running_max: Floats,
    marks: Floats,
    before: Floats,
) -> float:
    """Fill in `marks` and `before`, update `times` and `active`; return the new watermark."""
    begin = 0
    for index in range(len(partitions)):
        partition = partitions[index]
        others = np.inf
        for other in range(len(times)):
            if active[other] and other != partition:
                others = min(others, times[other])
        own = times[partition]
        before[index] = own
        mark = value
        for row in range(begin, ends[index]):
            mark = max(mark, min(max(running_max[row], own), others))
            marks[row] = mark
        begin = ends[index]
        own = max(own, max_event_times[index])
        times[partition] = own
        active[partition] = not idle[index]
        smallest = others if idle[index] else min(own, others)
        if smallest < np.inf:
            value = max(value, smallest)
    return value
