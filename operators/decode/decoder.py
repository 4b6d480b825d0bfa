"""Decode: from raw bytes to the columns that decide.

Two paths, one meaning.  `ColumnReader` reads the records that are as they
should be, a column at a time.  Whatever it does not take (bad input, repeated
members, odd types) goes record by record through `RecordDecoder`, which has the
last word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from operators.batches import Batch, DecisionColumns, DecodedBatch, Records, Span
from operators.columns.byte_column import ByteColumn
from operators.columns.event_types import EventTypes
from operators.decode.careful_path import Accepted, RecordDecoder
from operators.decode.events import EventSpec
from operators.decode.fast_path import ColumnReader

# What is made of so many records is still in the processor's cache when it is looked at.
_AT_ONCE = 1_000

_UNREADABLE = (ValueError, TypeError, RecursionError, msgspec.MsgspecError)


def decode_column(
    decode: Callable[[Any], Any], values: Sequence[bytes | None]
) -> tuple[list[Any], list[int]]:
    """Decode every value; None for those that cannot be, with their rows.

    One C-level pass: `extend` keeps what came before an error, and the same
    iterator goes on after it.
    """
    decoded: list[Any] = []
    failed: list[int] = []
    rest = map(decode, values)
    while True:
        try:
            decoded.extend(rest)
        except _UNREADABLE:
            failed.append(len(decoded))
            decoded.append(None)
        else:
            return decoded, failed


def not_utf8(values: ByteColumn) -> list[int]:
    """Rows whose bytes are not UTF-8: msgspec does not look into strings that it skips."""
    if values.is_ascii():
        return []
    rows = []
    for row, value in enumerate(values):
        if value is not None and not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                rows.append(row)
    return rows


class Decoder:
    """Turns a `Batch` into a `DecodedBatch`; pure, the same for every worker.

    Which lane a record goes to depends on the record and the settings alone,
    never on a clock: a restart may see another time, but never another lane.
    """

    def __init__(self, spec: EventSpec) -> None:
        """spec: how records are read."""
        self._spec = spec
        self._one = RecordDecoder(spec)
        self._columns = ColumnReader.of(spec)
        self._one_shard = not spec.shard.fields and not spec.shard.content
        self._own_shard = not self._one_shard and spec.combinations != (spec.shard,)

    def __call__(self, batch: Batch) -> DecodedBatch:
        """Decode a batch; every record is accepted or has a reason why not."""
        count = len(batch.records)
        times = np.full(count, np.nan)
        decided = DecisionColumns(
            times=times,
            running_max=times,
            hashes=np.zeros((count, len(self._spec.combinations), 2), np.uint64),
            shards=np.zeros((count, 2), np.uint64) if self._own_shard else None,
            types=EventTypes.unknown(count) if self._spec.types else None,
            texts=np.full(count, None, object) if self._spec.text_fields else None,
        )
        for begin in range(0, count, _AT_ONCE):
            rows = slice(begin, begin + _AT_ONCE)
            part = decided.part(rows)
            self._read(batch.records.part(rows), part)
            decided.invalid.update({begin + row: why for row, why in part.invalid.items()})
        if decided.shards is not None:
            # Duplicates share the shard too: without the same values there, two keys
            # must not be equal.  The hashes have different seeds, so nothing cancels out.
            decided.hashes ^= decided.shards[:, None]
        return self._finish(batch, decided)

    def _read(self, records: Records, decided: DecisionColumns) -> None:
        """Fill in times, hashes and the invalid rows, save those in the future."""
        rows: Sequence[int] = range(len(records))
        if self._columns is not None:
            values = list(records.values)
            structs, failed = decode_column(self._columns.decode, values)
            events = None
            if self._columns.decode_whole is not None:
                events, not_read = decode_column(self._columns.decode_whole, values)
                failed += not_read
            rows = sorted({*failed, *not_utf8(ByteColumn.of(records.values))})
            good = None
            if rows:
                good = np.ones(len(records), np.bool_)
                good[rows] = False
            try:
                self._columns.fill(records, structs, events, good, decided)
            except RecursionError:
                # A key could just be read, but is too deep to be hashed.
                rows = range(len(records))
                decided.invalid.clear()
                decided.times.fill(np.nan)
                if decided.texts is not None:
                    decided.texts.fill(None)
        for row in rows:
            self._read_one(row, records, decided)

    def _read_one(self, row: int, records: Records, decided: DecisionColumns) -> None:
        answer = self._one(records, row)
        if decided.types is not None:
            decided.types.numbers[row] = decided.types.names[answer.type]
        if not isinstance(answer, Accepted):
            decided.invalid[row] = (answer.reason, answer.message)
            return
        decided.times[row] = answer.time
        decided.hashes[row] = np.frombuffer(b"".join(answer.hashes), "<u8").reshape(-1, 2)
        if decided.shards is not None:
            decided.shards[row] = np.frombuffer(answer.shard, "<u8")
        if decided.texts is not None:
            decided.texts[row] = answer.text

    def _finish(self, batch: Batch, decided: DecisionColumns) -> DecodedBatch:
        """The lanes, and what depends on the span: reason `future`, the running maximum."""
        spans, lanes, times = batch.spans, self._spec.lanes, decided.times
        if self._one_shard:
            lane_of = np.zeros(len(times), np.int64)
        else:
            shards = decided.hashes[:, 0] if decided.shards is None else decided.shards
            lane_of = (shards[:, 0] % np.uint64(lanes)).astype(np.int64)
        if decided.invalid:
            rows = np.fromiter(decided.invalid, np.int64, len(decided.invalid))
            lane_of[rows] = batch.records.offsets[rows] % lanes
        decided.running_max = np.full(len(times), -np.inf)
        max_event_times = [self._order(span, rows, decided) for span, rows in spans]
        return DecodedBatch(spans, batch.records, decided, lane_of, max_event_times)

    def _order(self, span: Span, rows: slice, decided: DecisionColumns) -> float:
        """Reason `future` and the running maximum of a span; return its largest event time."""
        times = decided.times[rows]
        if not len(times):
            return -math.inf
        # A record in the future keeps the lane of its key: after a restart the
        # clock may let it in, and the lane that answered it must see it again.
        for row in np.flatnonzero(times > span.read_at + self._spec.max_future_seconds).tolist():
            ahead = float(times[row]) - span.read_at
            decided.invalid[rows.start + row] = (
                "future",
                f"event time is {ahead:.0f} s ahead of the clock, more than max_future_seconds",
            )
            times[row] = np.nan
        running = np.fmax.accumulate(times)
        np.fmax(running[:-1], -np.inf, out=decided.running_max[rows][1:])
        return float(np.fmax(running[-1], -np.inf))
