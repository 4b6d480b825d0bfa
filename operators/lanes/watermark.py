"""The watermark of a lane: how far event time has come, over all input partitions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from operators.batches import Span
from operators.columns.arrays import Floats


@dataclass(slots=True)
class Watermark:
    """The smallest, over the partitions that are not idle, of their largest event times.

    Until every partition has been heard from, or is idle, it is −inf: nothing is
    late.  It never goes back, and stays where it is while all are idle.

    value: the watermark, epoch seconds.  largest: largest event time of each
    partition, −inf for one that gave only invalid records.
    """

    value: float = -math.inf
    largest: dict[int, float] = field(default_factory=dict)
    _idle: set[int] = field(default_factory=set)
    _ended: dict[int, float] = field(default_factory=dict)

    def before_each(self, span: Span, running_max: Floats) -> Floats:
        """Watermark as each record of a span meets it.

        largest_before: for each record the largest event time before it in its
        span.  Moves the watermark only as far as the last record's.
        """
        mine = self.largest_before_each(span, running_max)
        others = self._smallest_of_others(span)
        marks: Floats = np.maximum(np.minimum(mine, others), self.value)
        np.maximum.accumulate(marks, out=marks)
        return marks

    def largest_before_each(self, span: Span, running_max: Floats) -> Floats:
        """Largest event time of its own partition as each record of a span meets it."""
        return np.maximum(running_max, self.largest.get(span.partition, -math.inf))

    def advance(self, span: Span, largest: float) -> None:
        """Take note of a span, records or not: its largest event time, idle, ended."""
        partition = span.partition
        if largest > self.largest.get(partition, -math.inf):
            self.largest[partition] = largest
        if span.idle:
            self._idle.add(partition)
        else:
            self._idle.discard(partition)
        if span.ended:
            self._ended[partition] = span.read_at
        own = self.largest.get(partition, -math.inf)
        others = self._smallest_of_others(span)
        smallest = others if partition in self._idle else min(own, others)
        if smallest < math.inf:
            self.value = max(self.value, smallest)

    def idle_ended(self, now: float, idle_seconds: float) -> None:
        """Count partitions that ended `idle_seconds` ago as idle: they send no more word."""
        for partition, since in list(self._ended.items()):
            if now - since >= idle_seconds:
                self._idle.add(partition)
                del self._ended[partition]

    def _smallest_of_others(self, span: Span) -> float:
        """Smallest of the largest event times of the other partitions that are not idle.

        +inf if there is none, −inf while one has not been heard from.
        """
        smallest = math.inf
        for partition in range(span.partitions):
            if partition != span.partition and partition not in self._idle:
                smallest = min(smallest, self.largest.get(partition, -math.inf))
        return smallest
