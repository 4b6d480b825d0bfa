"""The items of the dataflow: batches of columns, never single records.

A source emits a `Batch`; `join` puts those together that were read at the same moment;
`decode` adds what decides (`DecodedBatch`); `cut` makes one `Slice` of it for every lane;
a lane answers a slice with a `VerdictBatch` (operators/verdicts.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints, Objects
from operators.columns.byte_column import ByteColumn
from operators.columns.event_types import EventTypes
from operators.columns.header_table import Headers


@dataclass(slots=True)
class Records:
    """Columns of raw records, in offset order within an input partition.

    Every column has the same length.  `timestamps` are milliseconds since the
    epoch, 0 or less where the record has none.  A column that is `None` has no
    value in any record: most topics have no headers, and a file has only values.
    Values and keys of a topic are each in one piece of memory (`ByteColumn`).
    """

    offsets: Ints
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers] | None = None
    timestamps: Ints | None = None

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.values)

    def take(self, rows: Ints) -> Records:
        """Select rows, in order, each at most once; what is returned may be changed."""
        if len(rows) == len(self):
            return replace(self)
        return Records(
            offsets=self.offsets[rows],
            values=_pick(self.values, rows) or (),
            keys=_pick(self.keys, rows),
            headers=_pick(self.headers, rows),
            timestamps=None if self.timestamps is None else self.timestamps[rows],
        )

    def part(self, rows: slice) -> Records:
        """Select rows that follow each other."""
        return Records(
            offsets=self.offsets[rows],
            values=self.values[rows],
            keys=None if self.keys is None else self.keys[rows],
            headers=None if self.headers is None else self.headers[rows],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of all values together."""
        if isinstance(self.values, ByteColumn):
            return len(self.values.memory)
        return sum(map(len, filter(None, self.values)))


def _pick(column: Sequence[Any] | None, rows: Ints) -> Sequence[Any] | None:
    """Items of a column at some rows."""
    if column is None:
        return None
    if isinstance(column, ByteColumn):
        return column.take(rows)
    if len(rows) > 1:
        picked: tuple[Any, ...] = itemgetter(*rows.tolist())(column)
        return picked
    return [column[row] for row in rows.tolist()]


@dataclass(slots=True)
class Span:
    """Which part of an input partition an item stands for, and what the source knew then.

    partition: of the input.  partitions: how many the input has in all.
    start, end: the offsets [start, end) are covered; `start` is where the item
    before it ended, so that compacted or aborted offsets leave no gap.
    read_at: wall clock when it was read, epoch seconds.  idle: no data for
    longer than the idle limit.  ended: the partition will give no more in this run.
    """

    partition: int
    partitions: int
    start: int
    end: int
    read_at: float
    idle: bool = False
    ended: bool = False


@dataclass(slots=True)
class Spans:
    """Where the rows of an item come from: one span after another.

    ends: for each span, which row is the first after its own; it may have none.
    """

    spans: Sequence[Span]
    ends: Sequence[int]

    @staticmethod
    def of(span: Span, rows: int) -> Spans:
        """Make those of one span."""
        return Spans((span,), (rows,))

    def __iter__(self) -> Iterator[tuple[Span, slice]]:
        """Return each span with its rows."""
        begin = 0
        for span, end in zip(self.spans, self.ends, strict=True):
            yield span, slice(begin, end)
            begin = end

    @property
    def read_at(self) -> float:
        """When the first of them was read: wall clock, epoch seconds."""
        return self.spans[0].read_at

    @property
    def partitions(self) -> Ints:
        """Input partition of each row."""
        return np.repeat([span.partition for span in self.spans], np.diff(self.ends, prepend=0))

    def to_rows(self, rows: Ints) -> Spans:
        """Leave only some rows, in order; the spans stay."""
        return Spans(self.spans, np.searchsorted(rows, self.ends).tolist())


@dataclass(slots=True)
class Batch:
    """Some records, or none (a heartbeat), of one or more spans.

    A source emits batches of one span.
    """

    spans: Spans
    records: Records

    @staticmethod
    def of(span: Span, records: Records) -> Batch:
        """Make a batch of one span."""
        return Batch(Spans.of(span, len(records)), records)


Invalid: TypeAlias = dict[int, tuple[str, str]]
"""Row → (reason, what is wrong in words a user understands)."""


@dataclass(slots=True)
class DecisionColumns:
    """The columns that decide, one row a record.

    times: event time in epoch seconds, NaN where invalid.
    running_max: the largest event time of a valid record of the same span
    before this one, −inf for the first: lateness is decided record by record,
    however the partition happened to be cut into batches.
    hashes: shape (n, combinations, 2), the 128-bit hash of each key.
    shards: the 128-bit hash of the shard, None where the first key is the shard.
    types: event types, for statistics.  texts: for near duplicates.
    """

    times: Floats
    running_max: Floats
    hashes: Hashes
    invalid: Invalid = field(default_factory=dict)
    shards: Hashes | None = None
    types: EventTypes | None = None
    texts: Objects | None = None

    def part(self, rows: slice) -> DecisionColumns:
        """Return those rows of the columns themselves, to be filled in; none is invalid yet."""
        return DecisionColumns(
            times=self.times[rows],
            running_max=self.running_max[rows],
            hashes=self.hashes[rows],
            shards=None if self.shards is None else self.shards[rows],
            types=None if self.types is None else self.types.part(rows),
            texts=None if self.texts is None else self.texts[rows],
        )


@dataclass(slots=True)
class DecodedBatch:
    """A batch with its deciding columns.

    lanes: which lane each record goes to.  max_event_times: largest event time of each span.
    """

    spans: Spans
    records: Records
    decided: DecisionColumns
    lanes: Ints
    max_event_times: Sequence[float]


@dataclass(slots=True)
class Slice:
    """A batch's part for one lane; empty ones carry progress and event time.

    records: of the whole batch, since few of its columns are looked at before they are
    written.  rows: which of them are the slice's own, ascending.  decided: of these.
    max_event_times: largest event time of each span, of the records of all lanes.
    """

    lane: int
    spans: Spans
    records: Records
    rows: Ints
    decided: DecisionColumns
    max_event_times: Sequence[float]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.rows)

    @property
    def offsets(self) -> Ints:
        """Offset of each record."""
        return self.records.offsets[self.rows]

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes only what is the slice's own."""
        own = np.arange(len(self))
        records = self.records.take(self.rows)
        return Slice, (self.lane, self.spans, records, own, self.decided, self.max_event_times)


def select_rows(slice_: Slice, kept: Bools) -> Slice:
    """Leave only some records in a slice; its spans stay."""
    left = np.flatnonzero(kept)
    position = {row: new for new, row in enumerate(left.tolist())}
    decided = slice_.decided
    return Slice(
        lane=slice_.lane,
        spans=slice_.spans.to_rows(left),
        records=slice_.records,
        rows=slice_.rows[left],
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
    )
