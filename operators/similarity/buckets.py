"""Buckets: unique records of a range of event time, in columns, with their signatures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints
from operators.similarity.hashing import Words, mix
from operators.similarity.postings import BYTES_PER_SIGNATURE, Postings
from operators.similarity.signatures import SKETCH_WORDS, Features, Measure, Signatures

_INITIAL_ROWS = 64
# Longer texts are not compared: the columns of their windows would fill the memory.
MAX_TEXT_LENGTH = 1 << 22
# Records that are looked up together: the more, the less each pays for numpy's calls.
_CHUNK_RECORDS = 64
_CHUNK_CHARACTERS = 1 << 18


class TextColumns:
    """What is compared, one row for each record; full columns double.

    orders: the order in which records were decided.
    """

    def __init__(self) -> None:
        self.times: Floats = np.zeros(_INITIAL_ROWS)
        self.references: Ints = np.zeros(_INITIAL_ROWS, np.int64)
        self.orders: Ints = np.zeros(_INITIAL_ROWS, np.int64)
        self.sizes: Ints = np.zeros(_INITIAL_ROWS, np.int64)
        self.shards: Hashes = np.zeros((_INITIAL_ROWS, 2), np.uint64)
        self.bit_sketches: Words = np.zeros((_INITIAL_ROWS, SKETCH_WORDS), np.uint64)
        self.texts: list[str] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.texts)

    def extend(self, more: TextColumns, rows: Ints) -> None:
        """Append rows of other columns."""
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
    """Records of a range of event time; dropped as a whole."""

    def __init__(self) -> None:
        self.columns = TextColumns()
        self.postings = Postings()
        self.oldest = math.inf
        self.newest = -math.inf
        self.characters = 0

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.columns)

    def add(self, more: TextColumns, rows: Ints, signatures: Signatures) -> None:
        """Append rows of other columns, with the signatures that find those rows."""
        begin = len(self)
        self.columns.extend(more, rows)
        times = more.times[rows]
        self.oldest = min(self.oldest, float(times.min()))
        self.newest = max(self.newest, float(times.max()))
        self.characters += sum(map(len, self.columns.texts[begin:]))
        self.postings.add(signatures.hashes, begin + rows.searchsorted(signatures.rows))

    def size_bytes(self) -> int:
        """Estimate the memory that the records take."""
        columns = 4 * 8 + 16 + SKETCH_WORDS * 8
        # A Python string of ASCII has 49 bytes besides its text, and 8 in the list.
        return (
            len(self) * (columns + 57) + self.characters + len(self.postings) * BYTES_PER_SIGNATURE
        )


def chunks(texts: Sequence[str]) -> Iterator[slice]:
    """Cut texts into chunks of records that are looked up together."""
    begin = characters = 0
    for row, text in enumerate(texts):
        characters += len(text)
        if row > begin and (row - begin >= _CHUNK_RECORDS or characters > _CHUNK_CHARACTERS):
            yield slice(begin, row)
            begin, characters = row, len(text)
    if begin < len(texts):
        yield slice(begin, len(texts))


def read_columns(
    measure: Measure, texts: list[str], times: Floats, shards: Hashes, references: Ints
) -> tuple[TextColumns, Features]:
    """Make the columns and features of some records.

    Signatures are salted with the shard, so that different shards share none.  A text
    that is too long has size −1 and no signatures.
    """
    too_long = [row for row, text in enumerate(texts) if len(text) > MAX_TEXT_LENGTH]
    features = measure.read([text if len(text) <= MAX_TEXT_LENGTH else "" for text in texts])
    if shards.any():
        salts = mix(shards[:, 0])
        features.probes = _salted(features.probes, salts)
        features.offered = [_salted(offered, salts) for offered in features.offered]
    if too_long:
        features.sizes[too_long] = -1
        features.probes = _without(features.probes, too_long)
        features.offered = [_without(offered, too_long) for offered in features.offered]
    columns = TextColumns()
    columns.times, columns.references, columns.shards = times, references, shards
    columns.orders = np.zeros(len(texts), np.int64)
    columns.sizes, columns.bit_sketches = features.sizes, features.bit_sketches
    columns.texts = texts
    return columns, features


def _salted(signatures: Signatures, salts: Hashes) -> Signatures:
    return Signatures(signatures.rows, signatures.hashes ^ salts[signatures.rows])


def _without(signatures: Signatures, rows: Sequence[int]) -> Signatures:
    kept = ~np.isin(signatures.rows, rows)
    return Signatures(signatures.rows[kept], signatures.hashes[kept])
