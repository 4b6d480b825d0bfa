"""The items of the dataflow: batches of columns, never single records.

A source emits a `Batch`.  `coalesce` puts batches together that were read at the same moment.
`decode` adds the columns that decide (`DecodedBatch`).  `cut` makes one `Slice` for each lane.
A lane answers a slice with a `VerdictBatch` (operators/verdicts.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints, Objects
from operators.columns.byte_column import ByteColumn
from operators.columns.event_types import EventTypes
from operators.columns.header_table import Headers


@dataclass(slots=True)
class Records:
    """Columns of raw records, in offset order within an input partition.

    All columns have the same length.  `timestamps` are milliseconds since the epoch, 0
    or less for a record without one.  A column is `None` if no record has a value in it:
    most topics have no headers, and a file has only values.  The values of a topic are
    in one piece of memory, and so are its keys (`ByteColumn`).
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
        """Select rows, ascending and each at most once; the result may be changed."""
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
        """Select consecutive rows."""
        return Records(
            offsets=self.offsets[rows],
            values=self.values[rows],
            keys=None if self.keys is None else self.keys[rows],
            headers=None if self.headers is None else self.headers[rows],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
        )

    @property
    def size_bytes(self) -> int:
        """Number of bytes of all values, keys and headers together."""
        headers = 0
        if self.headers is not None:
            headers = sum(
                len(name) + len(value or b"") for own in self.headers for name, value in own or ()
            )
        return _size(self.values) + _size(self.keys) + headers


def _size(column: Sequence[bytes | None] | None) -> int:
    if isinstance(column, ByteColumn):
        return len(column.memory)
    return sum(map(len, filter(None, column or ())))


def _pick(column: Sequence[Any] | None, rows: Ints) -> Sequence[Any] | None:
    """Select rows of a column."""
    if column is None:
        return None
    if isinstance(column, ByteColumn):
        return column.take(rows)
    if len(rows) > 1:
        picked: tuple[Any, ...] = itemgetter(*rows.tolist())(column)
        return picked
    return [column[row] for row in rows.tolist()]


class InputPartition(NamedTuple):
    """A partition of an input topic, or a file.

    topic_id: Kafka's id of the topic, empty where brokers give none.  A topic that was deleted
    and created again has another id, so its partitions are others.
    """

    topic: str
    topic_id: str
    partition: int


FILE = InputPartition("", "", 0)
"""The only partition of the embedded mode."""


@dataclass(slots=True)
class Span:
    """The part of an input partition that an item covers, and what the source knew then.

    start, end: the item covers the offsets [start, end).  `start` is the end of the
    previous item, so compacted or aborted offsets leave no gap.
    read_at: wall clock when it was read, epoch seconds.  idle: all of the partition was read,
    and it had no data for longer than the idle limit.  ended: this run reads no more of it.
    gone: its topic was deleted.  history_end: where the partition ended when the job found it,
    until a span has reached that; None for partitions that were there from the start.
    """

    partition: InputPartition
    start: int
    end: int
    read_at: float
    idle: bool = False
    ended: bool = False
    gone: bool = False
    history_end: int | None = None


@dataclass(slots=True)
class Spans:
    """Where rows come from, one span after another; ends: the first row after those of each."""

    spans: Sequence[Span]
    ends: Sequence[int]

    @staticmethod
    def of(span: Span, rows: int) -> Spans:
        """Return the spans of an item that has one."""
        return Spans((span,), (rows,))

    def __iter__(self) -> Iterator[tuple[Span, slice]]:
        """Iterate over the spans, each with its rows."""
        begin = 0
        for span, end in zip(self.spans, self.ends, strict=True):
            yield span, slice(begin, end)
            begin = end

    @property
    def read_at(self) -> float:
        """When the first span was read: wall clock, epoch seconds."""
        return self.spans[0].read_at

    def of_rows(self, values: Sequence[int]) -> Ints:
        """Give each row the value of its span.  values: one for each span."""
        return np.repeat(np.array(values, np.int64), np.diff(self.ends, prepend=0))

    def to_rows(self, rows: Ints) -> Spans:
        """Keep only some rows, ascending; the spans stay."""
        return Spans(self.spans, np.searchsorted(rows, self.ends).tolist())


@dataclass(slots=True)
class Batch:
    """Records of one or more spans; a batch without records is a heartbeat.

    known: all input partitions, with the first batch of a source and when they have changed;
    else None.  stop: the whole job is to stop.  asks: whether a process was told to stop.  A
    batch that stops or asks has nothing else.
    """

    spans: Spans
    records: Records
    known: Sequence[InputPartition] | None = None
    stop: bool = False
    asks: bool = False

    @staticmethod
    def stops() -> Batch:
        """Make the batch that stops the job."""
        return Batch(Spans((), ()), Records(np.zeros(0, np.int64), ()), stop=True)

    @staticmethod
    def asking() -> Batch:
        """Make the batch that asks all processes whether they were told to stop."""
        return Batch(Spans((), ()), Records(np.zeros(0, np.int64), ()), asks=True)

    @staticmethod
    def of(span: Span, records: Records, known: Sequence[InputPartition] | None = None) -> Batch:
        """Make a batch of one span."""
        return Batch(Spans.of(span, len(records)), records, known)


Invalid: TypeAlias = dict[int, tuple[str, str]]
"""Row → (reason, what is wrong, in words for the user)."""


@dataclass(slots=True)
class DecisionColumns:
    """The columns that decide, one row for each record.

    times: event time in epoch seconds, NaN for invalid records.
    running_max: the largest event time of earlier valid records of the same span, −inf
    for the first record.  So lateness is decided record by record, however a partition
    is cut into batches.
    hashes: shape (n, combinations, 2), the 128-bit hash of each key.
    shards: the 128-bit hash of the shard, None if the first key is the shard.
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
        """Return views of some rows, to be filled in; no row is invalid yet."""
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
    """A batch with the columns that decide.

    lanes: the lane of each record.  max_event_times: largest event time of each span.
    known: as in `Batch`.
    """

    spans: Spans
    records: Records
    decided: DecisionColumns
    lanes: Ints
    max_event_times: Sequence[float]
    known: Sequence[InputPartition] | None = None


@dataclass(slots=True)
class Slice:
    """A batch's part for one lane; an empty slice still carries progress and event time.

    records: of the whole batch, because most of its columns are not used before they are
    written.  rows: the slice's own rows of them, ascending.  decided: columns of these rows.
    max_event_times: largest event time of each span, over the records of all lanes.
    known: as in `Batch`.
    """

    lane: int
    spans: Spans
    records: Records
    rows: Ints
    decided: DecisionColumns
    max_event_times: Sequence[float]
    known: Sequence[InputPartition] | None = None

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.rows)

    @property
    def offsets(self) -> Ints:
        """Offset of each record."""
        return self.records.offsets[self.rows]

    def __reduce__(self) -> tuple[Any, ...]:
        """Send only the slice's own records to another process."""
        own = np.arange(len(self))
        records = self.records.take(self.rows)
        return Slice, (
            *(self.lane, self.spans, records, own),
            *(self.decided, self.max_event_times, self.known),
        )
