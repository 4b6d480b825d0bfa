"""The watermark of a lane: how far event time has come, over all input partitions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from operators.batches import Span
from operators.columns.arrays import Floats


@dataclass(slots=True)
class Watermark:
    """The smallest of the partitions' largest event times; idle partitions do not count.

    It is −inf, so that nothing is late, until every partition was heard from or is idle.
    It never goes back, and does not move while all partitions are idle.

    value: the watermark, epoch seconds.  max_event_times: largest event time of each
    partition, −inf for a partition that had only invalid records.
    """

    value: float = -math.inf
    max_event_times: dict[int, float] = field(default_factory=dict)
    _idle: set[int] = field(default_factory=set)
    _ended: dict[int, float] = field(default_factory=dict)

    def before_each(self, span: Span, running_max: Floats) -> Floats:
        """Return the watermark before each record of a span.

        running_max: for each record the largest event time before it in the span.
        Does not move the watermark.
        """
        own = self.max_event_time_before_each(span, running_max)
        others = self._min_of_others(span)
        marks: Floats = np.maximum(np.minimum(own, others), self.value)
        np.maximum.accumulate(marks, out=marks)
        return marks

    def max_event_time_before_each(self, span: Span, running_max: Floats) -> Floats:
        """Return the largest event time of the partition before each record of a span."""
        return np.maximum(running_max, self.max_event_times.get(span.partition, -math.inf))

    def advance(self, span: Span, max_event_time: float) -> None:
        """Move the watermark past a span, which may have no records.

        max_event_time: the largest of the span, −inf if it has no valid record.
        """
        partition = span.partition
        if max_event_time > self.max_event_times.get(partition, -math.inf):
            self.max_event_times[partition] = max_event_time
        if span.idle:
            self._idle.add(partition)
        else:
            self._idle.discard(partition)
        if span.ended:
            self._ended[partition] = span.read_at
        own = self.max_event_times.get(partition, -math.inf)
        others = self._min_of_others(span)
        smallest = others if partition in self._idle else min(own, others)
        if smallest < math.inf:
            self.value = max(self.value, smallest)

    def idle_ended(self, now: float, idle_seconds: float) -> None:
        """Count partitions that ended `idle_seconds` ago as idle: they send nothing more."""
        for partition, since in list(self._ended.items()):
            if now - since >= idle_seconds:
                self._idle.add(partition)
                del self._ended[partition]

    def _min_of_others(self, span: Span) -> float:
        """Return the smallest of the other partitions' largest event times, without idle ones.

        +inf if there is no other partition, −inf while one has not been heard from.
        """
        smallest = math.inf
        for partition in range(span.partitions):
            if partition != span.partition and partition not in self._idle:
                smallest = min(smallest, self.max_event_times.get(partition, -math.inf))
        return smallest
