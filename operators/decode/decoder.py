"""Decode: from raw bytes to the columns that decide, whatever the format."""

from __future__ import annotations

import math

import numpy as np

from operators.batches import Batch, DecisionColumns, DecodedBatch, Span
from operators.columns.event_types import EventTypes
from operators.decode.events import EventSpec
from operators.decode.formats import FORMATS

# Records decoded per step: few enough that the decoded objects are still in the CPU cache
# when columns are built.
_RECORDS_PER_STEP = 1_000


class Decoder:
    """Turns a `Batch` into a `DecodedBatch`; pure, the same for every worker.

    The lane of a record depends on the record and the settings alone, never on a clock:
    after a restart the clock differs, the lane does not.
    """

    def __init__(self, spec: EventSpec) -> None:
        """spec: how records are read."""
        self._spec = spec
        self._read = FORMATS[spec.format](spec)
        self._one_shard = not spec.shard.fields and not spec.shard.content
        self._own_shard = not self._one_shard and spec.combinations != (spec.shard,)

    def __call__(self, batch: Batch) -> DecodedBatch:
        """Decode a batch; each record is accepted or has a reason why not."""
        count = len(batch.records)
        times = np.full(count, np.nan)
        columns = DecisionColumns(
            times=times,
            running_max=times,
            hashes=np.zeros((count, len(self._spec.combinations), 2), np.uint64),
            shards=np.zeros((count, 2), np.uint64) if self._own_shard else None,
            types=EventTypes.unknown(count) if self._spec.types else None,
            texts=np.full(count, None, object) if self._spec.text_fields else None,
        )
        for begin in range(0, count, _RECORDS_PER_STEP):
            rows = slice(begin, begin + _RECORDS_PER_STEP)
            part = columns.part(rows)
            self._read(batch.records.part(rows), part)
            columns.invalid.update({begin + row: why for row, why in part.invalid.items()})
        if columns.shards is not None:
            # Duplicates share the shard too, so equal keys of different shards must differ.
            # The two hashes have different seeds, so XOR cancels nothing out.
            columns.hashes ^= columns.shards[:, None]
        return self._finish(batch, columns)

    def _finish(self, batch: Batch, columns: DecisionColumns) -> DecodedBatch:
        """Add the lanes, and what depends on the span: reason `future`, the running maximum."""
        spans, lanes, times = batch.spans, self._spec.lanes, columns.times
        if self._one_shard:
            lane_of = np.zeros(len(times), np.int64)
        else:
            shards = columns.hashes[:, 0] if columns.shards is None else columns.shards
            lane_of = (shards[:, 0] % np.uint64(lanes)).astype(np.int64)
        if columns.invalid:
            rows = np.fromiter(columns.invalid, np.int64, len(columns.invalid))
            lane_of[rows] = batch.records.offsets[rows] % lanes
        columns.running_max = np.full(len(times), -np.inf)
        max_event_times = [self._finish_span(span, rows, columns) for span, rows in spans]
        return DecodedBatch(spans, batch.records, columns, lane_of, max_event_times, batch.known)

    def _finish_span(self, span: Span, rows: slice, columns: DecisionColumns) -> float:
        """Set reason `future` and the running maximum; return the largest event time."""
        times = columns.times[rows]
        if not len(times):
            return -math.inf
        # A record in the future keeps the lane of its key.  After a restart the clock may
        # let it in, and then the lane that answered it must see it again.
        for row in np.flatnonzero(times > span.read_at + self._spec.max_future_seconds).tolist():
            ahead = float(times[row]) - span.read_at
            columns.invalid[rows.start + row] = (
                "future",
                f"event time is {ahead:.0f} s ahead of the clock, more than max_future_seconds",
            )
            times[row] = np.nan
        running = np.fmax.accumulate(times)
        np.fmax(running[:-1], -np.inf, out=columns.running_max[rows][1:])
        return float(np.fmax(running[-1], -np.inf))
