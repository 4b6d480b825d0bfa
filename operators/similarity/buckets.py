"""Unique records of one stretch of event time, in columns, with their signatures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints
from operators.similarity.hashing import Words, mix
from operators.similarity.postings import BYTES_PER_SIGNATURE, Postings
from operators.similarity.signatures import SKETCH_WORDS, Measure, Reading, Signatures

_SMALLEST = 64
# Longer texts are compared with nothing: columns of their windows would fill the memory.
LONGEST_TEXT = 1 << 22
# Records that are looked up at once: the more, the less numpy's calls cost each.
_MOST_ROWS = 64
_MOST_CHARACTERS = 1 << 18


class Columns:
    """What a record is told apart by, one row a record; columns double when they are full.

    orders: when each was decided, as a running number.
    """

    def __init__(self) -> None:
        self.times: Floats = np.zeros(_SMALLEST)
        self.references: Ints = np.zeros(_SMALLEST, np.int64)
        self.orders: Ints = np.zeros(_SMALLEST, np.int64)
        self.sizes: Ints = np.zeros(_SMALLEST, np.int64)
        self.shards: Hashes = np.zeros((_SMALLEST, 2), np.uint64)
        self.bit_sketches: Words = np.zeros((_SMALLEST, SKETCH_WORDS), np.uint64)
        self.texts: list[str] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.texts)

    def extend(self, more: Columns, rows: Ints) -> None:
        """Add rows of other columns."""
        begin = len(self)
        end = begin + len(rows)
        names = ("times", "references", "orders", "sizes", "shards", "bit_sketches")
        for name in names:
            column = getattr(self, name)
            if end > len(column):
                size = max(end, 2 * len(column))
                grown = np.zeros((size, *column.shape[1:]), column.dtype)
                grown[:begin] = column[:begin]
                setattr(self, name, grown)
                column = grown
            column[begin:end] = getattr(more, name)[rows]
        self.texts += [more.texts[row] for row in rows.tolist()]


class Bucket:
    """Records of a stretch of event time; dropped whole."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.postings = Postings()
        self.oldest = math.inf
        self.newest = -math.inf
        self.characters = 0

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.columns)

    def add(self, more: Columns, rows: Ints, signatures: Signatures) -> None:
        """Add rows of other columns, with signatures by which those rows are found."""
        begin = len(self)
        self.columns.extend(more, rows)
        times = more.times[rows]
        self.oldest = min(self.oldest, float(times.min()))
        self.newest = max(self.newest, float(times.max()))
        self.characters += sum(map(len, self.columns.texts[begin:]))
        self.postings.add(signatures.hashes, begin + rows.searchsorted(signatures.rows))

    def size_bytes(self) -> int:
        """Return about how much memory the records take."""
        columns = 4 * 8 + 16 + SKETCH_WORDS * 8
        # A Python string of ASCII has 49 bytes besides its text, and its list 8.
        return (
            len(self) * (columns + 57) + self.characters + len(self.postings) * BYTES_PER_SIGNATURE
        )


def chunks(texts: Sequence[str]) -> Iterator[slice]:
    """Stretches of records that are looked up at once."""
    begin = characters = 0
    for row, text in enumerate(texts):
        characters += len(text)
        if row > begin and (row - begin >= _MOST_ROWS or characters > _MOST_CHARACTERS):
            yield slice(begin, row)
            begin, characters = row, len(text)
    if begin < len(texts):
        yield slice(begin, len(texts))


def read(
    measure: Measure, texts: list[str], times: Floats, shards: Hashes, references: Ints
) -> tuple[Columns, Reading]:
    """Columns and signatures of some records; signatures of other shards are others.

    A text that is too long has size −1, and no signatures.
    """
    too_long = [row for row, text in enumerate(texts) if len(text) > LONGEST_TEXT]
    reading = measure.read([text if len(text) <= LONGEST_TEXT else "" for text in texts])
    if shards.any():
        salts = mix(shards[:, 0])
        reading.asked = _salted(reading.asked, salts)
        reading.offered = [_salted(one, salts) for one in reading.offered]
    if too_long:
        reading.sizes[too_long] = -1
        reading.asked = _without(reading.asked, too_long)
        reading.offered = [_without(one, too_long) for one in reading.offered]
    columns = Columns()
    columns.times, columns.references, columns.shards = times, references, shards
    columns.orders = np.zeros(len(texts), np.int64)
    columns.sizes, columns.bit_sketches = reading.sizes, reading.bit_sketches
    columns.texts = texts
    return columns, reading


def _salted(signatures: Signatures, salts: Hashes) -> Signatures:
    return Signatures(signatures.rows, signatures.hashes ^ salts[signatures.rows])


def _without(signatures: Signatures, rows: Sequence[int]) -> Signatures:
    kept = ~np.isin(signatures.rows, rows)
    return Signatures(signatures.rows[kept], signatures.hashes[kept])
