"""Builders of the dataflow's items, for tests: keys, batches and slices from a few literals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from operators.batches import (
    Batch,
    DecisionColumns,
    InputPartition,
    Records,
    Slice,
    Span,
    Spans,
)
from operators.columns.arrays import Hashes
from tests.stores import hashes_of

INF = float("inf")
TOPIC, TOPIC_ID = "input", "id-of-the-input"
READ_AT = 1000.0
"""Wall clock at which the records of a builder were read."""


def keys_of(numbers: object) -> Hashes:
    """128-bit keys, shape (n, 2), one for each number; different numbers have different keys."""
    low = np.asarray(numbers, np.uint64)
    return np.stack([low * np.uint64(0x9E3779B97F4A7C15), low], axis=1)


def inputs(partitions: int) -> tuple[InputPartition, ...]:
    """Return the first partitions of an input topic; a lane numbers them as the topic does."""
    return tuple(InputPartition(TOPIC, TOPIC_ID, number) for number in range(partitions))


def span_of(partition: int, start: int, end: int, read_at: float = READ_AT, **more: Any) -> Span:  # noqa: ANN401
    """Build a span of a partition of that topic."""
    return Span(InputPartition(TOPIC, TOPIC_ID, partition), start, end, read_at, **more)


def batch_of(
    records: Records,
    partition: int = 0,
    *,
    partitions: int = 1,
    start: int = 0,
    read_at: float = READ_AT,
) -> Batch:
    """Build a batch of one span.

    The span begins at `start` and ends after the last record.
    """
    end = int(records.offsets[-1]) + 1 if len(records) else start
    return Batch.of(span_of(partition, start, end, read_at), records, inputs(partitions))


def slice_of(
    start: int,
    events: Sequence[tuple[float, str]],
    *,
    lane: int = 0,
    partition: int = 0,
    invalid: dict[int, tuple[str, str]] | None = None,
    **span: Any,  # noqa: ANN401
) -> Slice:
    """Build a slice of (event time, key) at offsets from `start`; it is its whole batch.

    A key has one character for each combination.  span: further fields of its `Span`, and
    `partitions`: how many the input has.
    """
    count = len(events)
    end = span.pop("end", start + count)
    times = np.array(
        [np.nan if invalid and row in invalid else time for row, (time, _) in enumerate(events)]
    )
    partitions = inputs(span.pop("partitions", 1))
    known = np.where(np.isnan(times), -INF, times)
    running_max = np.maximum.accumulate(np.concatenate(([-INF], known)))
    empty = np.zeros((0, 1, 2), np.uint64)
    return Slice(
        lane=lane,
        spans=Spans.of(span_of(partition, start, end, **span), count),
        records=Records(
            offsets=np.arange(start, start + count),
            values=[b"%d" % offset for offset in range(start, start + count)],
        ),
        rows=np.arange(count),
        decided=DecisionColumns(
            times=times,
            running_max=running_max[:-1],
            hashes=hashes_of([key for _, key in events]) if count else empty,
            invalid=invalid or {},
        ),
        max_event_times=(float(running_max[-1]),),
        known=partitions,
    )
