"""The columns of an audit: what is kept of each input record, and of outputs in passing.

Values are never kept.  An input record with one key takes 63 bytes, a unique
output 32, and joining them some more: 10 million records take 1.4 GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flows.cli.audit.decoding import Read, ReadInput, in_time
from operators.batches import Records
from operators.columns.arrays import Bools, Codes, Floats, Hashes, Ints
from operators.columns.header_table import Headers
from operators.keys.hashing import hash_column

UNKNOWN, DELETED = -1, -2
"""In place of a row: there is no such record; it was deleted by retention."""

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
    # `values` comes first: zip ends with it, the other columns may be endless.
    rows = zip(  # noqa: B905 - see above
        values,
        repeat(None) if keys is None else keys,
        repeat(None) if headers is None else (own or None for own in headers),
        repeat(None) if timestamps is None else timestamps,
    )
    return hash_column(map(_encode, rows), seed=0)


@dataclass(slots=True)
class InputTable:
    """The input, by partition and offset; columns have one row a record.

    ranges: partition → its rows [first, last).  starts: partition → the first
    offset that is still there.  labels: index into the label names, −1 for none.
    answers: how many outputs named the record.  verdicts: the code of the last
    that did, −1 for none.  matched: index of the combination of a duplicate, −1 if
    unknown; for an invalid record the code of the reason it was given, 0 if unknown.
    originals: row of the record that a duplicate repeats, negative for none.
    lanes, reasons, shards: see `Read`.  in_time: records of which the broker's clock
    says that they were never in the future.
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
    in_time: Bools
    labels: Codes
    answers: npt.NDArray[np.uint8]
    verdicts: Codes
    matched: Codes
    originals: Ints

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.offsets)

    def rows(self, partitions: Ints, offsets: Ints) -> Ints:
        """Rows of records, or UNKNOWN or DELETED."""
        found = np.full(len(offsets), UNKNOWN, np.int64)
        for partition in np.unique(partitions).tolist():
            if partition not in self.ranges:
                continue
            mine = np.flatnonzero(partitions == partition)
            wanted = offsets[mine]
            first, last = self.ranges[partition]
            at = first + np.searchsorted(self.offsets[first:last], wanted)
            there = at < last
            there[there] = self.offsets[at[there]] == wanted[there]
            rows = np.where(there, at, UNKNOWN)
            rows[~there & (wanted >= 0) & (wanted < self.starts[partition])] = DELETED
            found[mine] = rows
        return found

    def place(self, row: int) -> tuple[int, int]:
        """Partition and offset of a row."""
        for partition, (first, last) in self.ranges.items():
            if first <= row < last:
                return partition, int(self.offsets[row])
        raise IndexError(row)

    def partition_of(self, rows: Ints) -> Ints:
        """Number the partitions of rows in their order; equal for rows of one partition."""
        ends = np.array([last for _, last in self.ranges.values()], np.int64)
        return np.searchsorted(ends, rows, side="right").astype(np.int64)

    @property
    def deleted(self) -> int:
        """How many offsets lie before the first that is still there, over all partitions."""
        return sum(self.starts.values())


@dataclass
class InputBuilder:
    """Collects the input, partition after partition, each in offset order."""

    read: ReadInput
    _columns: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)
    _partitions: list[tuple[int, int]] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def begin(self, partition: int, start: int) -> None:
        """Go on to a partition.  start: the first offset that is still there."""
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

        labels: indexes, −1 for none.  appended_ms: when the broker appended each, 0 or
        less where only its producer says when it was made.  stamped: whether outputs
        have the same timestamps.
        """
        read: Read = self.read(records)
        count = len(records)
        stamps = records.timestamps.tolist() if stamped and records.timestamps is not None else None
        known = np.zeros(count, np.int64) if appended_ms is None else appended_ms
        columns: dict[str, npt.NDArray[Any]] = {
            "offsets": records.offsets,
            "digests": digests(records.values, records.keys, records.headers, stamps),
            "times": read.times,
            "keys": read.keys,
            "lanes": read.lanes,
            "reasons": read.reasons,
            "shards": read.shards,
            "in_time": in_time(read.times, known),
            "labels": np.full(count, -1, np.int8) if labels is None else np.array(labels, np.int8),
        }
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
        self._counts[-1] += count

    def build(self) -> InputTable:
        """Make the table; the builder is empty afterwards."""
        size = sum(self._counts)
        ends = np.cumsum(self._counts, dtype=np.int64).tolist()
        partitions = [partition for partition, _ in self._partitions]
        if not size:
            self._add_nothing()
        joined = {}
        for name in list(self._columns):
            # One column after another, so that not everything is there twice.
            joined[name] = np.concatenate(self._columns.pop(name))
        return InputTable(
            ranges=dict(zip(partitions, zip([0, *ends], ends, strict=False), strict=True)),
            starts=dict(self._partitions),
            answers=np.zeros(size, np.uint8),
            verdicts=np.full(size, -1, np.int8),
            matched=np.full(size, -1, np.int8),
            originals=np.full(size, UNKNOWN, np.int64),
            **joined,
        )

    def _add_nothing(self) -> None:
        """Give every column its type, where there are no records at all."""
        self._counts.append(0)
        self.add(Records(offsets=np.zeros(0, np.int64), values=()))


@dataclass(slots=True)
class AnswerChunk:
    """Outputs that say which record they answer: one chunk of one output.

    verdict: code of the output that they were found in.  said: the verdict that
    they give themselves.  partitions, offsets: of the input record, −1 where that
    cannot be read.  digests: of the record as it was before headers were added.
    matched: the combination, for duplicates; the reason, for others.
    originals: `partition:offset`, empty for none.  places: where they were found.
    """

    verdict: int
    said: list[str]
    partitions: Ints
    offsets: Ints
    digests: Hashes
    matched: list[str]
    originals: list[str]
    numbers: Floats
    lacking: list[str]
    places: list[tuple[int, int]]


@dataclass(slots=True)
class UniqueChunk:
    """Outputs of the unique output: one chunk.

    digests: of the whole record.  partitions, offsets: where they were found.
    marked: position in the chunk → the place of the input record that its headers
    claim, and its digest without them; for records that look like other verdicts'.
    replayed: position in the chunk → digest of the record as it was before `dedup
    replay` sent it, for records that it may have sent.
    """

    digests: Hashes
    partitions: Ints
    offsets: Ints
    marked: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    replayed: dict[int, bytes] = field(default_factory=dict)


def places_of(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Partitions and offsets of texts like `3:17`; −1 and −1 where it is none."""
    pairs = [place_of(text) or (-1, -1) for text in texts]
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def place_of(text: str) -> tuple[int, int] | None:
    """Partition and offset of a text like `3:17`; None where it is none."""
    partition, colon, offset = text.partition(":")
    if colon and _is_number(partition) and _is_number(offset):
        return int(partition), int(offset)
    return None


def number(text: bytes | str | None) -> int:
    """Read an offset or a partition; −1 for anything else."""
    if text is None:
        return -1
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return int(text) if _is_number(text) else -1


def _is_number(text: str) -> bool:
    # More digits would not fit into 64 bits.
    return text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004


def same(left: Hashes, right: Hashes) -> Bools:
    """Whether digests are equal, row by row."""
    equal: Bools = (left == right).all(axis=1)
    return equal
