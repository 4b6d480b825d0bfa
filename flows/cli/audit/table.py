"""The tables of an audit: columns of the input records, and chunks of the output records.

Values are not kept, only their digests.  An input record with one key takes 63 bytes, a
unique output record 32; matching them takes more.  10 million records take 1.4 GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flows.cli.audit.decoding import DecodeInput, never_ahead
from operators.batches import Records
from operators.columns.arrays import Bools, Codes, Floats, Hashes, Ints
from operators.columns.header_table import Headers
from operators.keys.hashing import hash_column

UNKNOWN, DELETED = -1, -2
"""In place of a row: the input has no such record; retention deleted it."""
MAX_ANSWERS = 255
"""Answers to a record are counted up to here, so that the count fits into a byte."""

_encode = msgspec.msgpack.encode


def digests(
    values: Iterable[bytes | None],
    keys: Iterable[bytes | None] | None = None,
    headers: Iterable[Headers] | None = None,
    timestamps: Iterable[int] | None = None,
) -> Hashes:
    """Digests of whole records, shape (n, 2): murmur3, 128 bits, over MessagePack.

    A record without headers and one with an empty list of them are the same.
    """
    # `values` comes first, so that zip ends with it: the other columns may be endless.
    rows = zip(  # noqa: B905 - see above
        values,
        repeat(None) if keys is None else keys,
        repeat(None) if headers is None else (own or None for own in headers),
        repeat(None) if timestamps is None else timestamps,
    )
    return hash_column(map(_encode, rows), seed=0)


@dataclass(slots=True)
class InputTable:
    """The input by partition and offset, a row for each record.

    ranges: partition → its rows [first, last).  starts: partition → its first offset that
    retention has left.  times, keys, lanes, reasons, shards: see `DecodedRecords`.
    never_ahead: see the function of that name.  labels: index of the label, −1 for none.

    From the answers: answers: their number.  verdicts: the verdict's code in the last one,
    −1 for none.  matched: for a duplicate the index of the combination, −1 if unknown; for
    an invalid record the code of the reason, 0 if unknown.  originals: row of the record
    that a duplicate repeats, negative for none.  earlier: whether outputs may answer an
    earlier topic of the name, which is gone.  earlier_records: how many do, at most.
    """

    ranges: dict[int, tuple[int, int]]
    starts: dict[int, int]
    offsets: Ints
    digests: Hashes
    times: Floats
    keys: Hashes
    lanes: npt.NDArray[np.uint8]
    reasons: Codes
    shards: Hashes
    never_ahead: Bools
    labels: Codes
    answers: npt.NDArray[np.uint8]
    verdicts: Codes
    matched: Codes
    originals: Ints
    earlier: bool = field(init=False, default=False)
    earlier_records: int = field(init=False, default=0)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.offsets)

    def rows(self, partitions: Ints, offsets: Ints) -> Ints:
        """Rows of records; UNKNOWN or DELETED for those without a row."""
        rows = np.full(len(offsets), UNKNOWN, np.int64)
        for partition in np.unique(partitions).tolist():
            if partition not in self.ranges:
                continue
            positions = np.flatnonzero(partitions == partition)
            sought = offsets[positions]
            first, last = self.ranges[partition]
            at = first + np.searchsorted(self.offsets[first:last], sought)
            exists = at < last
            exists[exists] = self.offsets[at[exists]] == sought[exists]
            at = np.where(exists, at, UNKNOWN)
            at[~exists & (sought >= 0) & (sought < self.starts[partition])] = DELETED
            rows[positions] = at
        return rows

    def place(self, row: int) -> tuple[int, int]:
        """Partition and offset of a row."""
        for partition, (first, last) in self.ranges.items():
            if first <= row < last:
                return partition, int(self.offsets[row])
        raise IndexError(row)

    def partition_index(self, rows: Ints) -> Ints:
        """Index of each row's partition, in the order of `ranges`."""
        ends = np.array([last for _, last in self.ranges.values()], np.int64)
        return np.searchsorted(ends, rows, side="right").astype(np.int64)

    @property
    def deleted(self) -> int:
        """Number of offsets that retention deleted, over all partitions."""
        return sum(self.starts.values())

    @property
    def incomplete(self) -> bool:
        """Whether the job may have read records that are not here."""
        return self.earlier or self.deleted > 0


@dataclass
class InputBuilder:
    """Collects the input: one partition after another, each in the order of offsets."""

    decode: DecodeInput
    _columns: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)
    _partitions: list[tuple[int, int]] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def begin(self, partition: int, start: int) -> None:
        """Begin a partition.  start: its first offset that retention has left."""
        self._partitions.append((partition, start))
        self._counts.append(0)

    def add(
        self,
        records: Records,
        labels: Sequence[int] | None = None,
        *,
        appended_ms: Ints | None = None,
        stamped: bool = True,
    ) -> None:
        """Add records of the current partition.

        labels: their indexes, −1 for none.  appended_ms: when the broker appended each
        record, 0 or less where the producer set the timestamp.  stamped: whether
        timestamps are compared with those of the outputs.
        """
        decoded = self.decode(records)
        count = len(records)
        stamps = records.timestamps.tolist() if stamped and records.timestamps is not None else None
        appended = np.zeros(count, np.int64) if appended_ms is None else appended_ms
        columns: dict[str, npt.NDArray[Any]] = {
            "offsets": records.offsets,
            "digests": digests(records.values, records.keys, records.headers, stamps),
            "times": decoded.times,
            "keys": decoded.keys,
            "lanes": decoded.lanes,
            "reasons": decoded.reasons,
            "shards": decoded.shards,
            "never_ahead": never_ahead(decoded.times, appended),
            "labels": np.full(count, -1, np.int8) if labels is None else np.array(labels, np.int8),
        }
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
        self._counts[-1] += count

    def build(self) -> InputTable:
        """Make the table.  Afterwards the builder is empty."""
        size = sum(self._counts)
        ends = np.cumsum(self._counts, dtype=np.int64).tolist()
        partitions = [partition for partition, _ in self._partitions]
        if not size:
            self._add_no_records()
        whole = {}
        for name in list(self._columns):
            # Column by column, so that only one is in memory twice.
            whole[name] = np.concatenate(self._columns.pop(name))
        return InputTable(
            ranges=dict(zip(partitions, zip([0, *ends], ends, strict=False), strict=True)),
            starts=dict(self._partitions),
            answers=np.zeros(size, np.uint8),
            verdicts=np.full(size, -1, np.int8),
            matched=np.full(size, -1, np.int8),
            originals=np.full(size, UNKNOWN, np.int64),
            **whole,
        )

    def _add_no_records(self) -> None:
        """Add empty columns, so that each has its type."""
        self._counts.append(0)
        self.add(Records(offsets=np.zeros(0, np.int64), values=()))


@dataclass(slots=True)
class AnswerChunk:
    """A chunk of records from a duplicate, late or invalid output: they name what they answer.

    verdict: code of the output's verdict.  stated_verdicts: the verdicts in the records
    themselves.  partitions, offsets: of the input records; −1 where they cannot be read.
    digests: of the records without the headers that the job added.  matched: the
    combination of a duplicate, the reason of another record.  originals:
    `partition:offset`, empty for none.  numbers: similarity of a near duplicate, seconds of
    a late record, else NaN.  missing: name of a missing field, empty for none.  places:
    partition and offset of the output records.  earlier: number of answers to records of an
    earlier topic, which are not in the chunk.  original_topics: topic of each original that is
    in another topic than the duplicate, empty for the others; such an original is left out.
    """

    verdict: int
    stated_verdicts: list[str]
    partitions: Ints
    offsets: Ints
    digests: Hashes
    matched: list[str]
    originals: list[str]
    numbers: Floats
    missing: list[str]
    places: list[tuple[int, int]]
    earlier: int = 0
    original_topics: Sequence[str] = ()


@dataclass(slots=True)
class UniqueChunk:
    """A chunk of records from the unique output.

    digests: of the whole records.  partitions, offsets: of the output records.
    marked: for records that look like answers with another verdict: position in the chunk
    → partition and offset of the input record that it names, and the digest without the
    added headers.  replayed: for records that `dedup replay` may have sent: position in
    the chunk → digest of the record before the replay.
    """

    digests: Hashes
    partitions: Ints
    offsets: Ints
    marked: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    replayed: dict[int, bytes] = field(default_factory=dict)


def places_of(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Partitions and offsets of texts like `3:17`; −1 and −1 for other texts."""
    pairs = [place_of(text) or (-1, -1) for text in texts]
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def place_of(text: str) -> tuple[int, int] | None:
    """Partition and offset of a text like `3:17`; None for another text."""
    partition, colon, offset = text.partition(":")
    if colon and _is_number(partition) and _is_number(offset):
        return int(partition), int(offset)
    return None


def read_number(text: bytes | str | None) -> int:
    """Read an offset or a partition; −1 for anything else."""
    if text is None:
        return -1
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return int(text) if _is_number(text) else -1


def _is_number(text: str) -> bool:
    # 18 digits fit into 64 bits.
    return text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004


def equal_rows(left: Hashes, right: Hashes) -> Bools:
    """Whether digests are equal, row by row."""
    equal: Bools = (left == right).all(axis=1)
    return equal
